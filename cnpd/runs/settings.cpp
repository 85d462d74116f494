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

// The text given for an option; `otherwise` if it was not given.
std::string text_of(const Given& given, std::string_view option, std::string otherwise) {
    for (const auto& [name, text] : given)
        if (name == option) return text;
    return otherwise;
}

// Throws InputError for an option that `name` does not have. The message lists the registry's
// entries that have it, or the most similar option. `settings_of(name)` returns the default
// settings.
template <class T, class SettingsOf>
[[noreturn]] void refuse_option(const std::string& option, std::string_view kind,
                                const std::string& name, const settings::Registry<T>& registry,
                                const SettingsOf& settings_of) {
    std::vector<std::string> owners;
    for (const auto& entry : registry.entries()) {
        auto settings = settings_of(entry.name);
        if (settings::fields_of(settings).find(option)) owners.push_back(entry.name);
    }
    if (!owners.empty())
        throw InputError(fmt::format("--{} belongs to {} {}, not to {}", option, kind,
                                     fmt::join(owners, ", "), name));
    auto settings = settings_of(name);
    throw InputError(
        fmt::format("unknown option --{}{}", option,
                    settings::did_you_mean(option, settings::fields_of(settings).names())));
}

// Sets the given options. Calls `refuse` for an unknown option.
template <class Refuse>
void apply(Fields& fields, const Given& given, const Refuse& refuse) {
    for (const auto& [option, text] : given) {
        settings::Field* const field = fields.find(option);
        if (!field) refuse(option);
        field->set(text, field->option());
    }
}

// The string under one of these names in a section of config.json; empty if there is none.
std::string text_in(const ordered_json& config, const char* section,
                    std::initializer_list<const char*> names) {
    const auto object = config.find(section);
    if (object == config.end() || !object->is_object()) return {};
    for (const char* name : names)
        if (const auto value = object->find(name); value != object->end() && value->is_string())
            return value->get<std::string>();
    return {};
}

// Calls `make` and sets the values of the file. All errors name the file.
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
        throw FileError(path, error.what(), "a config.json written by cnpd");
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
    f.add("recipe", recipe, "Set of hyper-parameters; options override single values")
        .known(training::recipe_names())
        .details({"fast: SGD lr 0.1 Nesterov, one-cycle, 10 epochs",
                  "backdoorbench: SGD lr 0.01, cosine, 100 epochs"});
    training.fields(f);
    f.add("augment", augment, "Random crops and flips, where appropriate for the data set");
    f.add("eval_every", evaluate_every,
          "Measure on the test set every N epochs; 0: only at the end")
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
          "Set of hyper-parameters for the method and the data set; options override single values")
        .details({"tuned: chosen on separate development victims (docs/tuning.md)",
                  "published: from NPD's paper; r-cnpd can diverge"})
        .since("0.2.0");
    f.add("clean_ratio", clean_ratio,
          "Share of the training set that the defender has as clean images, the same number from "
          "each class")
        .above(0, 1);
    f.add(
         "hold_out", hold_out,
         "Share of the clean images held out for measurement, to choose settings without test data")
        .range(0, 0.9);
    f.add("eval_every", evaluate_every,
          "Measure on the test set every N epochs; 0: only at the end")
        .range(0, kMostEpochs)
        .formerly("polarizer/evaluate_every");
    f.add("seed", seed, "Seed of everything random");
    defense->fields(f);
}

VictimSettings victim_settings(const Given& given) {
    VictimSettings settings(text_of(given, "attack", "badnets"), text_of(given, "recipe", "fast"));
    Fields fields = settings::fields_of(settings);
    apply(fields, given, [&](const std::string& option) {
        refuse_option(option, "--attack", settings.attack_name, attacks::registry(),
                      [](const std::string& name) { return VictimSettings(name); });
    });
    settings.complete();
    return settings;
}

DefenseSettings defense_settings(const Given& given, const defenses::DefendedData& data) {
    const auto recipe =
        settings::value_named<defenses::Recipe>("--recipe", text_of(given, "recipe", "tuned"));
    DefenseSettings settings(text_of(given, "method", "r-cnpd"), recipe, data);
    Fields fields = settings::fields_of(settings);
    apply(fields, given, [&](const std::string& option) {
        refuse_option(option, "--method", settings.method, defenses::registry(),
                      [&](const std::string& name) { return DefenseSettings(name, recipe, data); });
    });
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
