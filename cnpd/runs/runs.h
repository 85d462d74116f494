// Whole runs: what `cnpd train`, `cnpd defend` and `cnpd evaluate` do, with a run directory around
// it.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/polarizers/polarizer.h"
#include "cnpd/polarizers/purified_model.h"
#include "cnpd/training/experiment.h"
#include "cnpd/training/recipes.h"
#include "cnpd/training/settings.h"

namespace cnpd::runs {

struct RunOptions {
    std::filesystem::path out;
    training::Compute compute;
    bool resume = false;     // go on from the checkpoint
    bool overwrite = false;  // start again where another run has been
};

// Trains a victim and writes its run directory. Returns what result.json holds.
nlohmann::ordered_json train(const training::VictimSettings& settings, const RunOptions& options);

// What a victim was trained on, as its run directory tells.
training::DefendedData defended_data(const std::filesystem::path& victim_run);

// Settings of an ensemble that takes over the polarizers of an r-CNPD run. Throws FileError where
// the run is another's.
training::DefenseSettings taking_over(const std::filesystem::path& r_cnpd_run);

// Defends the victim of a run directory and writes the defense's own, which holds the victim's
// weights too. `data_override` replaces the data directory that the victim's configuration names.
nlohmann::ordered_json defend(const std::filesystem::path& victim_run,
                              const std::string& data_override,
                              const training::DefenseSettings& settings, const RunOptions& options);

// A run read back from its directory, frozen and ready for inference. The data set is not touched.
struct LoadedRun {
    training::VictimSettings victim_settings;
    std::optional<training::DefenseSettings> defense_settings;  // of a defense
    training::InputInfo input;
    // The model to measure: the victim, or what fine-tuning has made of it.
    std::unique_ptr<models::Classifier> model;
    std::unique_ptr<polarizers::Polarizer> polarizer;   // of a polarizer method
    std::optional<polarizers::PurifiedModel> purified;  // likewise

    // Logits of the model that the run ends with, purified if it was; input normalised.
    engine::Tensor predict(const engine::Tensor& input) const;
};
std::unique_ptr<LoadedRun> load_run(const std::filesystem::path& path,
                                    const training::Compute& compute);

// Measures a run again from its files: ACC, ASR, R-ACC, and for a polarizer the victim's and the
// detection rates.
nlohmann::ordered_json evaluate(const std::filesystem::path& path, const std::string& data_override,
                                const training::Compute& compute);

}  // namespace cnpd::runs
