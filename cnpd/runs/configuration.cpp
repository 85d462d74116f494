#include "cnpd/runs/configuration.h"

#include <chrono>
#include <span>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/runs/victim.h"
#include "cnpd/settings/names.h"
#include "cnpd/store/fingerprint.h"
#include "cnpd/store/run_directory.h"
#include "cnpd/version.h"
#include "engine/files.h"
#include "kernels/common/build_info.h"
#include "kernels/common/cpu_info.h"
#include "kernels/common/parallel.h"

namespace cnpd::runs {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMaxKeptBytes = 64 << 20;

}  // namespace

ordered_json environment(const training::Compute& compute) {
    const kernels::BuildInfo build = kernels::build_info();
    const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    ordered_json all{{"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now))},
                     {"version", kVersion},
                     {"commit", CNPD_COMMIT},
                     {"compiler", build.compiler},
                     {"cpu", kernels::cpu_name()},
                     {"architecture", build.architecture},
                     {"instruction_set", build.isa},
                     {"onednn", build.onednn},
                     {"onednn_instruction_set", build.onednn_isa},
                     {"threads", kernels::thread_count()}};
    if (compute.device.backend != engine::Backend::cpu) all["gpu"] = compute.device.str();
    return all;
}

ordered_json describe(const char* kind, const data::PoisonedData& data, ordered_json settings,
                      const training::Compute& compute) {
    ordered_json config;
    config["kind"] = kind;
    config["cnpd"] = kVersion;
    config["device"] = compute.device.str();
    config["precision"] = settings::name_of(compute.precision);
    config["threads"] = kernels::thread_count();
    config["environment"] = environment(compute);
    for (auto& [key, value] : settings.items()) config[key] = std::move(value);
    config["dataset"]["fingerprint"] = data.fingerprint;
    config["input"] = data::to_json(data::input_info(data.data));
    return config;
}

std::string identity_of(ordered_json config, const attacks::Attack& attack) {
    for (const char* key : {"device", "threads", "environment", "cnpd"}) config.erase(key);
    // Runs of versions without --precision were fp32.
    if (config["precision"] == settings::name_of(training::Precision::fp32))
        config.erase("precision");
    if (config["dataset"].value("exif", false) == false) config["dataset"].erase("exif");
    config["dataset"].erase("data");
    for (const attacks::KeptFile& file : attack.kept_files())
        config["kept"][file.name] = store::fingerprint(std::as_bytes(std::span(file.bytes)));
    return config.dump();
}

void write_configuration(store::RunDirectory& directory, const ordered_json& config,
                         const RunOptions& options) {
    const bool goes_on = options.resume && directory.resumes() &&
                         fs::exists(directory.file(store::run_files::checkpoint));
    if (!goes_on) directory.write_json(store::run_files::config, config);
}

attacks::ReadKept kept_files(const fs::path& run) {
    return [run](std::string_view name) {
        return engine::read_file(store::run_file(run, name), kMaxKeptBytes);
    };
}

}  // namespace cnpd::runs
