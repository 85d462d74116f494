// config.json: what a run was asked, and by what it is known again.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/training/experiment.h"
#include "cnpd/training/precision.h"
#include "cnpd/training/settings.h"

namespace cnpd::runs {

// A configuration of this kind, "victim" or "defense", with its settings.
nlohmann::ordered_json describe(const char* kind, const training::InputInfo& input,
                                nlohmann::ordered_json settings, const training::Compute& compute);

// What every run's configuration says of its victim and the images.
std::pair<training::VictimSettings, training::InputInfo> read_run(
    const std::filesystem::path& run, const nlohmann::ordered_json& config);

// The settings of a defense's run. Throws FileError, for an unknown method too.
training::DefenseSettings read_defense(const std::filesystem::path& run,
                                       const nlohmann::ordered_json& config);

// What a checkpoint must match: everything but where the data lies and what computes.
std::string identity_of(nlohmann::ordered_json config, const training::Experiment& experiment);

// Of a run's weights.
std::string fingerprint(const std::filesystem::path& run);

}  // namespace cnpd::runs
