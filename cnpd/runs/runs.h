// Implementation of `cnpd train`, `cnpd defend` and `cnpd evaluate`, including the run directory.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/data/poisoned_data.h"
#include "cnpd/defenses/defense.h"
#include "cnpd/runs/settings.h"
#include "cnpd/training/precision.h"

namespace cnpd::runs {

struct RunOptions {
    std::filesystem::path out;
    training::Compute compute;
    bool resume = false;     // continue from the checkpoint
    bool overwrite = false;  // replace an existing run
};

// Trains a victim and writes its run directory. Returns the content of result.json.
nlohmann::ordered_json train(const VictimSettings& settings, const RunOptions& options);

// The data that a victim was trained on, according to its run directory.
defenses::DefendedData defended_data(const std::filesystem::path& victim_run);

// Defends the victim of a run directory and writes the run directory of the defense, which includes
// the victim's weights. `data_override` replaces the data directory in the victim's config.json;
// `given` lists the options that the user gave.
struct DefendOptions {
    std::filesystem::path victim_run;
    std::string data_override{};
    std::vector<std::string> given{};
};
nlohmann::ordered_json defend(const DefendOptions& what, const DefenseSettings& settings,
                              const RunOptions& options);

// A run loaded from its directory, frozen and ready for inference. The data set is not read.
struct LoadedRun {
    std::filesystem::path path;
    VictimSettings victim_settings;
    std::optional<DefenseSettings> defense_settings;  // of a defense
    data::InputInfo input;
    std::string data_fingerprint{};  // empty for runs of older versions
    std::unique_ptr<models::Classifier> victim;
    std::unique_ptr<defenses::Defended> defended;  // of a defense

    // The run's data, poisoned in the same way. `data_override` as above. Throws InputError if the
    // data set is not the run's.
    data::PoisonedData poisoned_data(const std::string& data_override) const;
    // No training image of the victim had a trigger.
    bool is_benign() const { return !victim_settings.attack->plants_backdoor(); }
    // The defended model, or the victim of a run without a defense.
    const evaluation::Predictor& predictor() const;

    std::unique_ptr<evaluation::Predictor> undefended{};  // the victim alone
};
std::unique_ptr<LoadedRun> load_run(const std::filesystem::path& path,
                                    const training::Compute& compute);

// Measures a stored run again: ACC, ASR and R-ACC; for a defense also the victim's rates and the
// detection rates.
nlohmann::ordered_json evaluate(const std::filesystem::path& path, const std::string& data_override,
                                const training::Compute& compute);

// The commands that repeat the run, with all settings that differ from the defaults.
std::vector<std::string> commands(const LoadedRun& run);

}  // namespace cnpd::runs
