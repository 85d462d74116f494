#include "cnpd/runs/settings.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cnpd/store/run_directory.h"
#include "kernels/common/error.h"
#include "models/classifier.h"

namespace cnpd::runs {

using nlohmann::ordered_json;
using settings::Fields;

namespace {

constexpr double kMostEpochs = 1e9;

std::vector<std::string> model_names() {
    std::vector<std::string> names;
    for (const auto& info : models::registry()) names.emplace_back(info.name);
    return names;
}

// The text given for an option, or else `otherwise`.
std::string text_of(const Given& given, std::string_view option, std::string otherwise) {
    for (const auto& [name, text] : given)
        if (name == option) return text;
    return otherwise;
}

// Options that not all of these things have, with the names of those that do.
template <class T, class Names>
std::vector<OwnedOption> owned_options(const settings::Registry<T>& registry, Names names_of) {
    std::vector<OwnedOption> all;
    for (const auto& entry : registry.entries())
        for (const std::string& option : names_of(entry.name)) {
            const auto known = std::find_if(all.begin(), all.end(), [&](const OwnedOption& other) {
                return other.option == option;
            });
            if (known == all.end())
                all.push_back({option, {entry.name}});
            else
                known->owners.push_back(entry.name);
        }
    std::erase_if(all, [&](const OwnedOption& option) {
        return option.owners.size() == registry.entries().size();
    });
    return all;
}

// Sets what was given. `kind` and `name` are "--attack" and "badnets".
void apply(Fields& fields, const Given& given, const std::vector<OwnedOption>& owned,
           std::string_view kind, std::string_view name) {
    for (const auto& [option, text] : given) {
        if (settings::Field* field = fields.find(option)) {
            field->set(text, field->option());
            continue;
        }
        for (const OwnedOption& other : owned)
            if (other.option == option)
                throw InputError(fmt::format("--{} belongs to {} {}, not to {}", option, kind,
                                             fmt::join(other.owners, ", "), name));
        const std::vector<std::string> known = fields.names();
        throw InputError(
            fmt::format("unknown option --{}{}", option, settings::did_you_mean(option, known)));
    }
}

// A text in a section of config.json under one of these names; empty if there is none.
std::string text_in(const ordered_json& config, const char* section,
                    std::initializer_list<const char*> names) {
    const auto object = config.find(section);
    if (object == config.end() || !object->is_object()) return {};
    for (const char* name : names)
        if (const auto value = object->find(name); value != object->end() && value->is_string())
            return value->get<std::string>();
    return {};
}

// What `make` gives, with the values of the file. Every mistake names the file.
template <class Make>
auto read(const ordered_json& config, std::string_view path, const Make& make) {
    try {
        auto settings = make();
        Fields fields = settings::fields_of(settings);
        settings::from_json(fields, config, path, store::version_of(config));
        return settings;
    } catch (const FileError&) {
        throw;
    } catch (const InputError& error) {
        throw FileError(path, error.what(), "a configuration that cnpd has written");
    }
}

}  // namespace

VictimSettings::VictimSettings(std::string name, std::string recipe_name)
    : attack_name(std::move(name)),
      attack(attacks::registry().make(attack_name)),
      recipe(std::move(recipe_name)),
      training(training::recipe_named(recipe)) {}

void VictimSettings::fields(Fields& f) {
    data.fields(f);
    f.section("model", "Model");
    f.add("model", model, "Model")
        .known(model_names())
        .formerly("name")
        .details(settings::described(models::registry()));
    f.add("width", width, "Channels of the model's first stage").range(1, 1024);
    f.add("head", head,
          "VGGs: torchvision (pooling to 7x7, two hidden layers with dropout) or cifar (global "
          "pooling, one linear layer)")
        .otherwise("the model's")
        .since("0.2.0");
    f.section("attack", "Attack");
    f.add("attack", attack_name, "Attack")
        .known(attacks::registry().names())
        .formerly("name")
        .details(settings::described(attacks::registry().entries()));
    attack->fields(f);
    f.section("training", "Training");
    f.add("recipe", recipe, "Hyper-parameters, which options change")
        .known(training::recipe_names())
        .details({"fast: SGD lr 0.1 Nesterov, one-cycle, 10 epochs",
                  "backdoorbench: SGD lr 0.01, cosine, 100 epochs"});
    training.fields(f);
    f.add("augment", augment, "Random crops and flips, as they suit the data set");
    f.add("eval_every", evaluate_every,
          "Measure on the test set every so many epochs; 0: only at the end")
        .range(0, kMostEpochs)
        .formerly("evaluate_every");
    f.add("seed", seed, "Seed of everything random");
}

void VictimSettings::complete() {
    settings::fields_of(*this).check();
    head = models::head_of(model, head);
}

DefenseSettings::DefenseSettings(std::string name, defenses::Recipe from,
                                 const defenses::DefendedData& data)
    : method(std::move(name)), recipe(from), defense(defenses::registry().make(method)) {
    defense->recommend(recipe, data);
}

void DefenseSettings::fields(Fields& f) {
    f.section("defense", "Defense");
    f.add("method", method, "Defense")
        .known(defenses::registry().names())
        .details(settings::described(defenses::registry().entries()));
    f.add("recipe", recipe,
          "Hyper-parameters for the method and the data set, which options change")
        .details({"tuned: chosen on victims made for that (docs/tuning.md)",
                  "published: of NPD's paper; r-cnpd can diverge with it"})
        .since("0.2.0");
    f.add("clean_ratio", clean_ratio,
          "Share of the training set that the defender has clean, the same of each class")
        .above(0, 1);
    f.add("hold_out", hold_out,
          "Share of the clean images to measure instead of train on, for choosing settings without "
          "test data")
        .range(0, 0.9);
    f.add("eval_every", evaluate_every,
          "Measure on the test set every so many epochs; 0: only at the end")
        .range(0, kMostEpochs)
        .formerly("polarizer/evaluate_every");
    f.add("seed", seed, "Seed of everything random");
    defense->fields(f);
}

std::vector<OwnedOption> attack_options() {
    return owned_options(attacks::registry(), [](const std::string& name) {
        VictimSettings settings(name);
        return settings::fields_of(settings).names();
    });
}

std::vector<OwnedOption> method_options() {
    return owned_options(defenses::registry(), [](const std::string& name) {
        DefenseSettings settings(name, defenses::Recipe::tuned, {.dataset = "", .classes = 10});
        return settings::fields_of(settings).names();
    });
}

VictimSettings victim_settings(const Given& given) {
    VictimSettings settings(text_of(given, "attack", "badnets"), text_of(given, "recipe", "fast"));
    Fields fields = settings::fields_of(settings);
    apply(fields, given, attack_options(), "--attack", settings.attack_name);
    settings.complete();
    return settings;
}

DefenseSettings defense_settings(const Given& given, const defenses::DefendedData& data) {
    DefenseSettings settings(
        text_of(given, "method", "r-cnpd"),
        settings::value_named<defenses::Recipe>("--recipe", text_of(given, "recipe", "tuned")),
        data);
    Fields fields = settings::fields_of(settings);
    apply(fields, given, method_options(), "--method", settings.method);
    return settings;
}

VictimSettings victim_settings(const ordered_json& config, std::string_view path) {
    return read(config, path, [&] {
        return VictimSettings(text_in(config, "attack", {"attack", "name"}));
    });
}

DefenseSettings defense_settings(const ordered_json& config, std::string_view path) {
    return read(config, path, [&] {
        return DefenseSettings(text_in(config, "defense", {"method"}), defenses::Recipe::tuned,
                               {.dataset = "", .classes = 10});
    });
}

}  // namespace cnpd::runs
