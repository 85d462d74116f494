// Whole runs: what `cnpd train`, `cnpd defend` and `cnpd evaluate` do, with a run directory around
// it.
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
    bool resume = false;     // go on from the checkpoint
    bool overwrite = false;  // start again where another run has been
};

// Trains a victim and writes its run directory. Returns what result.json holds.
nlohmann::ordered_json train(const VictimSettings& settings, const RunOptions& options);

// The data that a victim was trained on, as its run directory tells.
defenses::DefendedData defended_data(const std::filesystem::path& victim_run);

// Defends the victim of a run directory and writes the defense's own, which holds the victim's
// weights too. `data_override` replaces the data directory that the victim's configuration names;
// `given` are the options that the user gave.
struct DefendOptions {
    std::filesystem::path victim_run;
    std::string data_override{};
    std::vector<std::string> given{};
};
nlohmann::ordered_json defend(const DefendOptions& what, const DefenseSettings& settings,
                              const RunOptions& options);

// A run read back from its directory, frozen and ready for inference. The data set is not touched.
struct LoadedRun {
    std::filesystem::path path;
    VictimSettings victim_settings;
    std::optional<DefenseSettings> defense_settings;  // of a defense
    data::InputInfo input;
    std::string data_fingerprint{};  // empty for runs of older versions
    std::unique_ptr<models::Classifier> victim;
    std::unique_ptr<defenses::Defended> defended;  // of a defense

    // The run's images, poisoned as they were. `data_override` as above. Throws InputError where
    // they are others.
    data::PoisonedData poisoned_data(const std::string& data_override) const;
    // No training image of the victim had a trigger.
    bool is_benign() const { return !victim_settings.attack->plants_backdoor(); }
    // The model that the run ends with: defended if it was.
    const evaluation::Predictor& predictor() const;

    std::unique_ptr<evaluation::Predictor> undefended{};  // the victim alone
};
std::unique_ptr<LoadedRun> load_run(const std::filesystem::path& path,
                                    const training::Compute& compute);

// Measures a run again from its files: ACC, ASR, R-ACC, and of a defense the victim's and the
// detection rates.
nlohmann::ordered_json evaluate(const std::filesystem::path& path, const std::string& data_override,
                                const training::Compute& compute);

// The commands that make the run again, with every setting that is not a default.
std::vector<std::string> commands(const LoadedRun& run);

}  // namespace cnpd::runs
