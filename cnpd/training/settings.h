// Everything that defines a run, as it stands in config.json and on the command line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/attacks/attack.h"
#include "cnpd/polarizers/registry.h"
#include "cnpd/training/bilevel.h"
#include "cnpd/training/victim.h"
#include "models/classifier.h"

namespace cnpd::training {

struct DataSettings {
    std::string name = "synthetic";
    std::string directory;                         // --data
    std::int64_t train_limit = 0, test_limit = 0;  // 0: all
    std::int64_t image_size = 0;                   // image folders; 0: the set's own
};

// `cnpd train`
struct VictimSettings {
    DataSettings data;
    std::string model = "preact-resnet18";
    std::int64_t width = 64;
    std::string head;  // of the model, where it has a choice
    std::string attack = "badnets";
    attacks::AttackOptions attack_options;
    Recipe recipe;
    bool augment = true;
    std::int64_t evaluate_every = 1;
    std::uint64_t seed = 0;
};

// Where the values come from that no option changed; see recipes.h.
enum class DefenseRecipe { tuned, published };

// `cnpd defend`
struct DefenseSettings {
    std::string method = "r-cnpd";  // in defenses/registry.h
    DefenseRecipe recipe = DefenseRecipe::tuned;
    double clean_ratio = 0.05;  // of the training set, stratified by class
    double hold_out = 0;        // share of the clean subset that is measured instead of trained on
    polarizers::PolarizerSettings polarizer;  // its name follows from the method
    BilevelSettings bilevel;                  // polarizers
    Recipe fine_tuning;                       // of all weights
    bool augment = true;
    std::int64_t top_k = 3;  // of the ensemble
    // The ensemble can take over the polarizers of an r-CNPD run instead of training its own: the
    // run's directory. All other settings are then that run's.
    std::string polarizers{};
    std::uint64_t seed = 0;
};

struct InputInfo;  // experiment.h

// Throw InputError, naming the option, for values that make no sense. Names of models, attacks and
// defenses are left to those who make them.
void validate(const VictimSettings& settings);
void validate(const DefenseSettings& settings);

nlohmann::ordered_json to_json(const VictimSettings& settings);
nlohmann::ordered_json to_json(const DefenseSettings& settings);
// Throw FileError, with the file's name, when a key is missing or of the wrong type, or a value out
// of range.
VictimSettings victim_settings(const nlohmann::ordered_json& json, std::string_view path);
DefenseSettings defense_settings(const nlohmann::ordered_json& json, std::string_view path);

nlohmann::ordered_json to_json(const InputInfo& input);
InputInfo input_info(const nlohmann::ordered_json& json, std::string_view path);

}  // namespace cnpd::training
