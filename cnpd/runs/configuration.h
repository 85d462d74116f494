// config.json: a run's settings and environment, and the identity that a checkpoint must match.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/attacks/attack.h"
#include "cnpd/data/poisoned_data.h"
#include "cnpd/runs/settings.h"
#include "cnpd/training/precision.h"

namespace cnpd::runs {

// The content of config.json. `kind` is "victim" or "defense".
nlohmann::ordered_json describe(const char* kind, const data::PoisonedData& data,
                                nlohmann::ordered_json settings, const training::Compute& compute);

// All settings that a checkpoint must match; excludes the data directory, the device and the
// environment.
std::string identity_of(nlohmann::ordered_json config, const attacks::Attack& attack);

// Reads the files that the attack stored in `run`.
attacks::ReadKept kept_files(const std::filesystem::path& run);

// Date, version, commit, compiler, processors and libraries of a run. Not part of its settings.
nlohmann::ordered_json environment(const training::Compute& compute);

}  // namespace cnpd::runs
