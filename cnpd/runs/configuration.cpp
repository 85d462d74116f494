#include "cnpd/runs/configuration.h"

#include <functional>
#include <span>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/defenses/registry.h"
#include "cnpd/training/names.h"
#include "cnpd/training/pattern_file.h"
#include "cnpd/training/run_directory.h"
#include "cnpd/version.h"
#include "engine/files.h"
#include "engine/safetensors.h"
#include "kernels/common/error.h"
#include "kernels/common/parallel.h"

namespace cnpd::runs {

using nlohmann::ordered_json;
using training::run_file;
namespace fs = std::filesystem;
namespace run_files = training::run_files;

namespace {

std::string fingerprint(std::span<const std::byte> bytes) {
    const auto hash =
        std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return fmt::format("{:016x}", hash);
}

}  // namespace

ordered_json describe(const char* kind, const training::InputInfo& input, ordered_json settings,
                      const training::Compute& compute) {
    ordered_json config;
    config["kind"] = kind;
    config["cnpd"] = kVersion;
    config["device"] = compute.device.str();
    config["precision"] = training::name_of(compute.precision);
    config["threads"] = kernels::thread_count();
    for (auto& [key, value] : settings.items()) config[key] = std::move(value);
    config.update(training::to_json(input));
    return config;
}

std::pair<training::VictimSettings, training::InputInfo> read_run(const fs::path& run,
                                                                  const ordered_json& config) {
    const std::string path = run_file(run, run_files::config).string();
    return {training::with_located_pattern(training::victim_settings(config, path), run),
            training::input_info(config, path)};
}

training::DefenseSettings read_defense(const fs::path& run, const ordered_json& config) {
    const std::string path = run_file(run, run_files::config).string();
    training::DefenseSettings settings = training::defense_settings(config, path);
    try {
        defenses::info_of(settings.method);
    } catch (const InputError& e) {
        throw FileError(path, e.what(), "a defense of this version");
    }
    return settings;
}

std::string identity_of(ordered_json config, const training::Experiment& experiment) {
    config.erase("device");
    config.erase("threads");
    // What every run was before there was a choice.
    if (config["precision"] == training::name_of(training::Precision::fp32))
        config.erase("precision");
    config["dataset"].erase("data");
    if (const auto picture = experiment.attack->picture(); !picture.empty())
        config["attack"]["blend_pattern"] = fingerprint(std::as_bytes(picture));
    return config.dump();
}

std::string fingerprint(const fs::path& run) {
    return fingerprint(
        engine::read_file(run_file(run, run_files::model), engine::SafetensorsFile::kMaxBytes));
}

}  // namespace cnpd::runs
