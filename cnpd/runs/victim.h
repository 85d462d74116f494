// Victims of runs; internal to runs/.
#pragma once

#include <filesystem>
#include <memory>

#include "cnpd/runs/runs.h"
#include "cnpd/store/run_directory.h"

namespace cnpd::runs {

// An untrained model with weights drawn from the settings' seed.
std::unique_ptr<models::Classifier> make_victim(const VictimSettings& settings,
                                                const data::InputInfo& input,
                                                const training::Compute& compute);
// The victim of a loaded run, which must outlive the result.
defenses::Victim victim_of(const LoadedRun& run, const training::Compute& compute);
// The settings in a run's config.json, with a new attack object.
VictimSettings settings_of_victim(const std::filesystem::path& run);

// Writes config.json. A run that continues from a checkpoint keeps its file, which records when and
// where the run began.
void write_configuration(store::RunDirectory& directory, const nlohmann::ordered_json& config,
                         const RunOptions& options);

}  // namespace cnpd::runs
