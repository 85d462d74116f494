// config.json: what a run was asked, and by what it is known again.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/attacks/attack.h"
#include "cnpd/data/poisoned_data.h"
#include "cnpd/runs/settings.h"
#include "cnpd/training/precision.h"

namespace cnpd::runs {

// A configuration of this kind, "victim" or "defense", with its settings and where it ran.
nlohmann::ordered_json describe(const char* kind, const data::PoisonedData& data,
                                nlohmann::ordered_json settings, const training::Compute& compute);

// What a checkpoint must match: everything but where the data lies and what computes.
std::string identity_of(nlohmann::ordered_json config, const attacks::Attack& attack);

// The files of `run` that its attack kept.
attacks::ReadKept kept_files(const std::filesystem::path& run);

// Where a run was made: date, version, commit, compiler, processors, libraries. None of it is a
// setting.
nlohmann::ordered_json environment(const training::Compute& compute);

}  // namespace cnpd::runs
