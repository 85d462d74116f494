#include "cnpd/report/run_json.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "cnpd/defenses/defense.h"
#include "cnpd/report/markup.h"
#include "cnpd/store/run_directory.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::report {

using nlohmann::ordered_json;
namespace fs = std::filesystem;
namespace run_files = store::run_files;

namespace {

constexpr int longest_text = 200;       // characters of a text from a file
constexpr std::size_t most_facts = 32;  // of the environment
constexpr std::size_t most_roc_points = 1000;

// Keys of result.json that the report reads; other keys may have any type.
constexpr const char* rates_and_counts[] = {"acc",
                                            "asr",
                                            "r_acc",
                                            "asr_untriggered",
                                            "acc_before",
                                            "asr_before",
                                            "r_acc_before",
                                            "asr_untriggered_before",
                                            "n_clean",
                                            "n_poisoned",
                                            "n_clean_subset",
                                            "der",
                                            "seconds",
                                            "parameters_trained",
                                            "detection_tpr",
                                            "detection_tpr_successful",
                                            "detection_fpr",
                                            "detection_auroc"};

double fraction(const ordered_json& json, const char* key) {
    return number_of(json, {key}) / 100;
}

std::string name_of_entry(const std::string& key) {
    constexpr std::pair<const char*, const char*> names[] = {
        {"date", "Date"},         {"version", "cnpd"},    {"commit", "Commit"},
        {"compiler", "Compiler"}, {"cpu", "CPU"},         {"instruction_set", "Instruction set"},
        {"gpu", "GPU"},           {"threads", "Threads"}, {"onednn", "oneDNN"},
        {"cuda", "CUDA"},         {"cudnn", "cuDNN"}};
    for (const auto& [known, name] : names)
        if (key == known) return name;
    return shortened(key, longest_text);
}

std::vector<double> fractions(const ordered_json& list) {
    std::vector<double> all;
    if (!list.is_array()) return all;
    for (const ordered_json& value : list) {
        if (all.size() == most_roc_points) break;
        all.push_back(value.is_number() ? value.get<double>() / 100 : not_measured);
    }
    return all;
}

std::vector<RocPoint> roc_of(const ordered_json& result) {
    const ordered_json* roc = entry(result, {"detection_roc", "detection/roc"});
    std::vector<RocPoint> points;
    if (!roc) return points;
    const ordered_json* x = entry(*roc, {"false_positive_rate"});
    const ordered_json* y = entry(*roc, {"true_positive_rate"});
    if (!x || !y) return points;
    const std::vector<double> false_positive = fractions(*x), true_positive = fractions(*y);
    if (false_positive.size() != true_positive.size()) return points;
    for (std::size_t i = 0; i < false_positive.size(); ++i)
        points.push_back({false_positive[i], true_positive[i]});
    return points;
}

// The values of one key in the lines of a metrics.jsonl, by epoch.
Series series_of(const std::vector<ordered_json>& lines, const char* key, double scale) {
    Series series;
    for (const ordered_json& line : lines) {
        const double epoch = number_of(line, {"epoch"}), value = number_of(line, {key});
        if (!is_drawable(epoch) || !is_drawable(value)) continue;
        series.epoch.push_back(epoch);
        series.value.push_back(value * scale);
    }
    return series;
}

// Keys such as "loss_clean", in the order of their first occurrence.
std::vector<std::string> loss_terms(const std::vector<ordered_json>& lines) {
    constexpr std::size_t most = 8;
    std::vector<std::string> keys;
    for (const ordered_json& line : lines)
        for (const auto& [key, value] : line.items())
            if (key.starts_with("loss_") && keys.size() < most &&
                std::find(keys.begin(), keys.end(), key) == keys.end())
                keys.push_back(key);
    return keys;
}

void start_at_epoch_0(Series& series, double value) {
    if (series.epoch.empty() || !is_drawable(value)) return;
    if (*std::min_element(series.epoch.begin(), series.epoch.end()) <= 0) return;
    series.epoch.insert(series.epoch.begin(), 0);
    series.value.insert(series.value.begin(), value);
}

}  // namespace

RunJson read_run_json(const fs::path& run, const char* kind) {
    RunJson json{.path = run, .config = store::read_config(run, kind), .result = {}};
    const fs::path path = store::run_file(run, run_files::result);
    json.result = store::read_json(path);
    if (!json.result.is_object())
        throw FileError(path.string(), "is not an object", "a run's result");
    for (const char* key : rates_and_counts) {
        const auto found = json.result.find(key);
        if (found != json.result.end() && !found->is_number() && !found->is_null())
            throw FileError(path.string(), "no number for " + engine::in_quotes(key), "a number");
    }
    return json;
}

const ordered_json* entry(const ordered_json& json, std::initializer_list<const char*> paths) {
    for (std::string_view path : paths) {
        const ordered_json* at = &json;
        while (at && !path.empty()) {
            const std::size_t length = std::min(path.find('/'), path.size());
            const std::string key(path.substr(0, length));
            path.remove_prefix(std::min(length + 1, path.size()));
            const bool has = at->is_object() && at->contains(key);
            at = has ? &(*at)[key] : nullptr;
        }
        if (at && !at->is_null()) return at;
    }
    return nullptr;
}

std::string text_of(const ordered_json& json, std::initializer_list<const char*> paths,
                    const std::string& otherwise) {
    const ordered_json* found = entry(json, paths);
    if (!found) return otherwise;
    if (found->is_number()) return found->dump();
    if (found->is_boolean()) return found->get<bool>() ? "yes" : "no";
    if (!found->is_string()) return otherwise;
    return shortened(found->get<std::string>(), longest_text);
}

double number_of(const ordered_json& json, std::initializer_list<const char*> paths,
                 double otherwise) {
    const ordered_json* found = entry(json, paths);
    return found && found->is_number() ? found->get<double>() : otherwise;
}

std::int64_t count_of(const ordered_json& json, std::initializer_list<const char*> paths) {
    const ordered_json* found = entry(json, paths);
    return found && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

std::string method_of(const ordered_json& config) {
    return defenses::registry().label(text_of(config, {"defense/method"}));
}

std::string training_section_of(const ordered_json& config) {
    if (config["kind"] != "defense") return "training";
    for (const auto& [section, values] : config.items())
        if (section != "training" && values.is_object() && values.contains("epochs"))
            return section;  // the victim's is "training"
    return "defense";
}

ResultRow row_of(const std::string& name, const ordered_json& result) {
    ResultRow row{.name = name,
                  .acc = fraction(result, "acc"),
                  .asr = fraction(result, "asr"),
                  .r_acc = fraction(result, "r_acc"),
                  .asr_untriggered = fraction(result, "asr_untriggered")};
    if (result.contains("der")) row.der = fraction(result, "der");
    if (entry(result, {"seconds"})) row.seconds = number_of(result, {"seconds"});
    if (entry(result, {"parameters_trained"}))
        row.parameters_trained = count_of(result, {"parameters_trained"});
    return row;
}

ResultRow victim_row_of(const std::string& name, const ordered_json& result) {
    return {.name = name,
            .acc = fraction(result, "acc_before"),
            .asr = fraction(result, "asr_before"),
            .r_acc = fraction(result, "r_acc_before"),
            .asr_untriggered = fraction(result, "asr_untriggered_before"),
            .is_victim = true};
}

std::optional<Detection> detection_of(const ordered_json& result) {
    if (!result.contains("detection_fpr")) return std::nullopt;
    Detection detection{.true_positive_rate = fraction(result, "detection_tpr"),
                        .false_positive_rate = fraction(result, "detection_fpr"),
                        .roc = roc_of(result)};
    if (entry(result, {"detection_tpr_successful"}))
        detection.true_positive_rate_successful = fraction(result, "detection_tpr_successful");
    if (entry(result, {"detection_auroc"})) detection.auroc = fraction(result, "detection_auroc");
    return detection;
}

std::vector<Series> curves(const fs::path& metrics, const ResultRow* start) {
    struct Column {
        const char* key;
        Quantity quantity;
        double ResultRow::*at_start;  // null if it is not a rate
    };
    constexpr Column columns[] = {{"train_loss", Quantity::loss, nullptr},
                                  {"acc", Quantity::acc, &ResultRow::acc},
                                  {"asr", Quantity::asr, &ResultRow::asr},
                                  {"r_acc", Quantity::r_acc, &ResultRow::r_acc},
                                  {"lr", Quantity::learning_rate, nullptr}};
    const std::vector<ordered_json> lines = store::read_metrics(metrics);
    std::vector<Series> all;
    for (const Column& column : columns) {
        Series series = series_of(lines, column.key, column.at_start ? 0.01 : 1);
        series.quantity = column.quantity;
        if (start && column.at_start) start_at_epoch_0(series, start->*column.at_start);
        if (!series.epoch.empty()) all.push_back(std::move(series));
    }
    for (const std::string& key : loss_terms(lines)) {
        Series series = series_of(lines, key.c_str(), 1);
        series.quantity = Quantity::loss_term;
        series.name = key.substr(std::string_view("loss_").size());
        if (!series.epoch.empty()) all.push_back(std::move(series));
    }
    return all;
}

std::vector<Fact> environment_of(const ordered_json& config) {
    std::vector<Fact> facts;
    const auto add = [&](const std::string& key, const std::string& value) {
        if (value != "-" && facts.size() < most_facts) facts.push_back({key, value});
    };
    add("Device", text_of(config, {"device"}));
    add("Precision", text_of(config, {"precision"}));
    const ordered_json* environment = entry(config, {"environment"});
    if (environment && environment->is_object())
        for (const auto& [key, value] : environment->items())
            add(name_of_entry(key), text_of(*environment, {key.c_str()}));
    const auto told = [&](const char* name) {
        return std::any_of(facts.begin(), facts.end(),
                           [&](const Fact& fact) { return fact.key == name; });
    };
    if (!told("Threads")) add("Threads", text_of(config, {"threads"}));
    if (!told("cnpd")) add("cnpd", text_of(config, {"cnpd"}));
    return facts;
}

}  // namespace cnpd::report
