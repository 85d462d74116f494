// Reads the JSON files of a run directory for the report. Values of missing entries are NaN or
// omitted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cnpd/report/report_data.h"

namespace cnpd::report {

struct RunJson {
    std::filesystem::path path;     // the run directory
    nlohmann::ordered_json config;  // config.json
    nlohmann::ordered_json result;  // result.json

    bool is_defense() const { return config["kind"] == "defense"; }
};

// Reads both files. `kind` as for read_config(). Throws FileError for damaged or missing files, and
// for rates and counts that are not numbers.
RunJson read_run_json(const std::filesystem::path& run, const char* kind = "");

// The first existing entry of a JSON object; "attack/poison_ratio" is nested. Null if none exists.
const nlohmann::ordered_json* entry(const nlohmann::ordered_json& json,
                                    std::initializer_list<const char*> paths);
std::string text_of(const nlohmann::ordered_json& json, std::initializer_list<const char*> paths,
                    const std::string& otherwise = "-");
double number_of(const nlohmann::ordered_json& json, std::initializer_list<const char*> paths,
                 double otherwise = not_measured);
std::int64_t count_of(const nlohmann::ordered_json& json, std::initializer_list<const char*> paths);

// The method's label on the page.
std::string method_of(const nlohmann::ordered_json& config);
// The section of config.json with the number of epochs.
std::string training_section_of(const nlohmann::ordered_json& config);

// The scores in result.json of the defended model and of its victim.
ResultRow row_of(const std::string& name, const nlohmann::ordered_json& result);
ResultRow victim_row_of(const std::string& name, const nlohmann::ordered_json& result);
std::optional<Detection> detection_of(const nlohmann::ordered_json& result);

// A series for each quantity in a metrics.jsonl. If no rate was measured at epoch 0, the rates of
// `start` are used there; may be null.
std::vector<Series> curves(const std::filesystem::path& metrics, const ResultRow* start);

// Date, commit, hardware and versions, from the object "environment" or the entries of older runs.
std::vector<Fact> environment_of(const nlohmann::ordered_json& config);

}  // namespace cnpd::report
