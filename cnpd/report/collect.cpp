#include "cnpd/report/collect.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/attacks/poisoning.h"
#include "cnpd/polarizers/purified_model.h"
#include "cnpd/runs/explain.h"
#include "cnpd/runs/runs.h"
#include "cnpd/store/run_directory.h"
#include "engine/autograd.h"
#include "engine/files.h"
#include "engine/ops.h"
#include "kernels/common/error.h"

namespace cnpd::report {

using engine::Tensor;
using evaluation::TestSets;
using nlohmann::ordered_json;
using runs::LoadedRun;
namespace fs = std::filesystem;
namespace run_files = store::run_files;

namespace {

double fraction(const ordered_json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_number() ? found->get<double>() / 100 : not_measured;
}

template <class T>
std::optional<T> optional_number(const ordered_json& json, const char* key) {
    const auto found = json.find(key);
    const bool fits = found != json.end() &&
                      (std::is_integral_v<T> ? found->is_number_integer() : found->is_number());
    if (!fits) return std::nullopt;
    return found->get<T>();
}

std::string text_or_dash(const ordered_json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : "-";
}

std::int64_t count(const ordered_json& json, const char* key) {
    return optional_number<std::int64_t>(json, key).value_or(0);
}

// result.json, in which every entry may be missing but none may be other than a number.
ordered_json read_result(const fs::path& run) {
    const fs::path path = store::run_file(run, run_files::result);
    ordered_json result = store::read_json(path);
    if (!result.is_object()) throw FileError(path.string(), "is no object", "a run's result");
    for (const auto& [key, value] : result.items())
        if (!value.is_number() && !value.is_null())
            throw FileError(path.string(), "no number for " + engine::in_quotes(key), "a number");
    return result;
}

ResultRow row_of(const std::string& name, const ordered_json& result) {
    ResultRow row{
        .name = name,
        .acc = fraction(result, "acc"),
        .asr = fraction(result, "asr"),
        .r_acc = fraction(result, "r_acc"),
        .seconds = optional_number<double>(result, "seconds"),
        .parameters_trained = optional_number<std::int64_t>(result, "parameters_trained")};
    if (result.contains("der")) row.der = fraction(result, "der");
    return row;
}

std::string method_name(const std::string& method) {
    return method == "ft" ? "fine-tuning" : method;
}

std::vector<Fact> facts_of(const ordered_json& config, const LoadedRun& run,
                           const data::PoisonedData& data, const ordered_json& result) {
    const runs::VictimSettings& v = run.victim_settings;
    const attacks::Attack& attack = *data.attack;
    std::vector<Fact> facts{
        {"Data set", v.data.name},
        {"Model", fmt::format("{}, width {}{}", v.model, v.width,
                              v.head.empty() ? "" : fmt::format(", {} head", v.head))},
        {"Attack", v.attack_name},
        {"Poison ratio", fmt::format("{:g} %", 100 * attack.poison_ratio())},
        {"Target class",
         attack.mode() == attacks::LabelMode::all_to_all
             ? "all-to-all (y + 1)"
             : fmt::format("{} ({})", attack.target(), run.input.class_names.at(attack.target()))},
        {"Victim's training",
         fmt::format("{}, {} epochs, seed {}", v.recipe, v.training.epochs, v.seed)}};
    if (run.defense_settings) {
        const runs::DefenseSettings& d = *run.defense_settings;
        facts.push_back({"Defense", method_name(d.method)});
        facts.push_back(
            {"Clean data", fmt::format("{:g} % of the training set, {} images", 100 * d.clean_ratio,
                                       count(result, "n_clean_subset"))});
        if (const auto* purified = run.defended->purified())
            facts.push_back({"Insertion point", purified->options().insertion_point});
        facts.push_back({"Seed of the defense", fmt::format("{}", d.seed)});
    }
    facts.push_back({"Device", fmt::format("{}, {} threads", text_or_dash(config, "device"),
                                           count(config, "threads"))});
    facts.push_back({"Precision", text_or_dash(config, "precision")});
    facts.push_back({"cnpd", text_or_dash(config, "cnpd")});
    return facts;
}

// A series for each quantity that the lines of metrics.jsonl have.
std::vector<Series> curves(const fs::path& metrics) {
    struct Column {
        const char* key;
        Quantity quantity;
        double scale;
    };
    constexpr Column kColumns[] = {{"train_loss", Quantity::loss, 1},
                                   {"acc", Quantity::acc, 0.01},
                                   {"asr", Quantity::asr, 0.01},
                                   {"r_acc", Quantity::r_acc, 0.01},
                                   {"lr", Quantity::learning_rate, 1}};
    std::vector<Series> all;
    const std::vector<ordered_json> lines = store::read_metrics(metrics);
    for (const Column& column : kColumns) {
        Series series{.quantity = column.quantity};
        for (const ordered_json& line : lines) {
            const auto value = optional_number<double>(line, column.key);
            const auto epoch = optional_number<double>(line, "epoch");
            if (!value || !epoch) continue;
            series.epoch.push_back(*epoch);
            series.value.push_back(*value * column.scale);
        }
        if (!series.epoch.empty()) all.push_back(std::move(series));
    }
    return all;
}

Image image_of(const datasets::Images& images, std::int64_t index) {
    const std::int64_t bytes = images.h * images.w * images.c;
    const auto first = images.pixels.begin() + index * bytes;
    return {.height = static_cast<int>(images.h),
            .width = static_cast<int>(images.w),
            .channels = static_cast<int>(images.c),
            .pixels = {first, first + bytes}};
}

std::vector<Guess> guesses_of(const std::vector<runs::Guess>& guesses) {
    std::vector<Guess> all;
    for (const runs::Guess& guess : guesses) all.push_back({guess.class_name, guess.probability});
    return all;
}

// Poisoned test images to show: spread over the classes, and such that the attack works on them.
std::vector<std::int32_t> choose_examples(const TestSets& tests,
                                          const std::vector<std::int32_t>& victim_predictions,
                                          std::int64_t wanted) {
    std::vector<std::int32_t> chosen;
    std::vector<std::int32_t> classes;
    const auto count = static_cast<std::int32_t>(victim_predictions.size());
    for (std::int32_t i = 0; i < count && static_cast<std::int64_t>(chosen.size()) < wanted; ++i) {
        const std::int32_t original = tests.original_labels[i];
        const bool works = victim_predictions[i] == tests.poisoned.host_labels()[i];
        if (!works || std::count(classes.begin(), classes.end(), original)) continue;
        classes.push_back(original);
        chosen.push_back(i);
    }
    for (std::int32_t i = 0; i < count && static_cast<std::int64_t>(chosen.size()) < wanted; ++i)
        if (!std::count(chosen.begin(), chosen.end(), i)) chosen.push_back(i);
    return chosen;
}

std::vector<Example> examples_of(const LoadedRun& run, const TestSets& tests,
                                 const datasets::Images& clean, const datasets::Images& poisoned,
                                 const std::vector<std::int32_t>& chosen) {
    const auto& names = run.input.class_names;
    const auto said = runs::explain(run, tests.poisoned.input(chosen), 3);
    std::vector<Example> examples;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        const std::int32_t index = chosen[i];
        examples.push_back(
            {.clean = image_of(clean, tests.poisoned_indices[index]),
             .poisoned = image_of(poisoned, index),
             .original_class = names[tests.original_labels[index]],
             .backdoor_class = names[tests.poisoned.host_labels()[index]],
             .before = guesses_of(said[i].victim),
             .after = guesses_of(said[i].purified),
             .purified_right = said[i].purified_class == tests.original_labels[index],
             .flagged = said[i].flagged});
    }
    return examples;
}

FeatureMap feature_map(const Tensor& z) {
    return {.height = static_cast<int>(z.shape()[1]),
            .width = static_cast<int>(z.shape()[2]),
            .channels = static_cast<int>(z.shape()[3]),
            .values = engine::ops::cast(z, engine::DType::float32).to_host<float>()};
}

PolarizedFeatures polarized_features(const LoadedRun& run, const Tensor& input, Image image) {
    const engine::NoGrad no_grad;
    const std::string& point = run.defended->purified()->options().insertion_point;
    const models::Cut cut = run.victim->prefix(input, point);
    const Tensor logits = run.victim->suffix(cut, point);
    const std::int32_t predicted = engine::ops::argmax(logits).to_host<std::int32_t>().front();
    return {.image = std::move(image),
            .polarizer_class = run.input.class_names[predicted],
            .before = feature_map(cut.z),
            .after = feature_map(run.defended->purified()->polarized(cut.z, logits))};
}

std::vector<PredictionCount> count_predictions(const LoadedRun& run, const attacks::Attack& attack,
                                               const std::vector<std::int32_t>& before,
                                               const std::vector<std::int32_t>& after) {
    std::vector<PredictionCount> counts;
    for (std::size_t y = 0; y < run.input.class_names.size(); ++y) {
        const auto label = static_cast<std::int32_t>(y);
        counts.push_back({.class_name = run.input.class_names[y],
                          .before = std::count(before.begin(), before.end(), label),
                          .after = std::count(after.begin(), after.end(), label),
                          .is_target = attack.mode() == attacks::LabelMode::all_to_one &&
                                       attack.target() == label});
    }
    return counts;
}

// Everything that needs the models and the data set.
void add_pictures(ReportData& data, const LoadedRun& run, const data::PoisonedData& experiment,
                  const CollectOptions& options, engine::Device device) {
    if (!experiment.attack->plants_backdoor()) return;
    const TestSets tests = data::make_test_sets(experiment, device);
    const datasets::Images poisoned =
        attacks::make_poisoned_test(*experiment.attack, experiment.data.test).images;

    std::vector<std::int32_t> before, after;
    after = evaluation::predict_all(tests.poisoned, [&](const Tensor& input) {
        const evaluation::Predictions p = run.predictor().predict(input);
        if (!p.victim.defined()) return p.purified;
        const auto piece = engine::ops::argmax(p.victim).to_host<std::int32_t>();
        before.insert(before.end(), piece.begin(), piece.end());
        return p.purified;
    });
    if (before.empty()) before = after;
    const auto chosen = choose_examples(tests, before, options.examples);
    data.examples = examples_of(run, tests, experiment.data.test, poisoned, chosen);
    if (!run.defended || !run.defended->purified()) return;
    data.poisoned_predictions = count_predictions(run, *experiment.attack, before, after);
    if (chosen.empty()) return;
    const std::int32_t shown[] = {chosen.front()};
    const std::int32_t twin[] = {tests.poisoned_indices[chosen.front()]};
    data.features =
        InsertionPoint{.name = run.defended->purified()->options().insertion_point,
                       .poisoned = polarized_features(run, tests.poisoned.input(shown),
                                                      image_of(poisoned, shown[0])),
                       .clean = polarized_features(run, tests.clean.input(twin),
                                                   image_of(experiment.data.test, twin[0]))};
}

std::optional<Detection> detection_of(const ordered_json& result) {
    if (!result.contains("detection_tpr")) return std::nullopt;
    Detection detection{.true_positive_rate = fraction(result, "detection_tpr"),
                        .false_positive_rate = fraction(result, "detection_fpr")};
    if (optional_number<double>(result, "detection_tpr_successful"))
        detection.true_positive_rate_successful = fraction(result, "detection_tpr_successful");
    return detection;
}

}  // namespace

ReportData collect(const fs::path& run_path, const CollectOptions& options,
                   const training::Compute& compute) {
    const ordered_json config = store::read_config(run_path);
    const ordered_json result = read_result(run_path);
    const auto run = runs::load_run(run_path, compute);
    const runs::VictimSettings& victim = run->victim_settings;

    ReportData data;
    // First, because it finds out whether the run and the data set go together.
    const data::PoisonedData poisoned = run->poisoned_data(options.data_override);
    add_pictures(data, *run, poisoned, options, compute.device);
    data.title = fmt::format("{} on {}", victim.attack_name, victim.data.name);
    data.facts = facts_of(config, *run, poisoned, result);
    data.commands = runs::commands(*run);
    data.n_clean = count(result, "n_clean");
    data.n_poisoned = count(result, "n_poisoned");
    data.detection = detection_of(result);
    if (run->defense_settings) {
        const std::string method = method_name(run->defense_settings->method);
        data.subtitle = fmt::format("a backdoor planted, and removed with {}", method);
        data.results.push_back({.name = "victim",
                                .acc = fraction(result, "acc_before"),
                                .asr = fraction(result, "asr_before"),
                                .r_acc = fraction(result, "r_acc_before"),
                                .is_victim = true});
        for (const fs::path& other : options.compare) {
            const ordered_json other_config = store::read_config(other, "defense");
            const auto defense =
                runs::defense_settings(other_config, (other / run_files::config).string());
            data.results.push_back(row_of(method_name(defense.method), read_result(other)));
        }
        data.results.push_back(row_of(method, result));
        data.results.back().highlight = true;
        data.victim_training = curves(store::run_file(run_path, run_files::victim_metrics));
        data.defense_training = curves(store::run_file(run_path, run_files::metrics));
    } else {
        data.subtitle = "a backdoor planted";
        data.results.push_back(row_of("victim", result));
        data.results.back().is_victim = true;
        data.victim_training = curves(store::run_file(run_path, run_files::metrics));
    }
    return data;
}

}  // namespace cnpd::report
