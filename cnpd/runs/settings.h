// All settings of a run, as in config.json and on the command line.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/attacks/attack.h"
#include "cnpd/data/poisoned_data.h"
#include "cnpd/defenses/defense.h"
#include "cnpd/settings/fields.h"
#include "cnpd/training/supervised.h"

namespace cnpd::runs {

// `cnpd train`. Copies share the attack.
struct VictimSettings {
    // Starts with the recipe's values. Throws InputError for unknown names.
    explicit VictimSettings(std::string attack_name = "badnets", std::string recipe_name = "fast");

    data::DataSettings data;
    std::string model = "preact-resnet18";
    std::int64_t width = 64;
    std::string head{};  // for models with a choice of heads
    std::string attack_name;
    std::shared_ptr<attacks::Attack> attack;
    std::string recipe;
    training::Recipe training;
    bool augment = true;
    std::int64_t evaluate_every = 1;  // epochs; 0: only after the last
    std::uint64_t seed = 0;

    void fields(settings::Fields& f);
    // Derives settings that depend on others. Throws InputError for invalid combinations.
    void complete();
};

// `cnpd defend`. Copies share the defense.
struct DefenseSettings {
    // Starts with the recipe's values for this data. Throws InputError for an unknown method.
    DefenseSettings(std::string method, defenses::Recipe recipe,
                    const defenses::DefendedData& data);

    std::string method;
    defenses::Recipe recipe;
    double clean_ratio = 0.05;  // of the training set, stratified by class
    double hold_out = 0;  // share of the clean subset used for measurement instead of training
    std::int64_t evaluate_every = 1;  // epochs; 0: only after the last
    std::uint64_t seed = 0;
    std::shared_ptr<defenses::Defense> defense;

    void fields(settings::Fields& f);
};

// Options and their texts, as given on the command line or in a file: {"patch-size", "5"}.
using Given = std::vector<std::pair<std::string, std::string>>;

// Settings from options. Throw InputError for an option that the attack or the defense does not
// have; the message lists those that have it.
VictimSettings victim_settings(const Given& given);
DefenseSettings defense_settings(const Given& given, const defenses::DefendedData& data);

// Settings from a run's config.json. Throw FileError with the file's name for a missing key, a
// wrong type or a value out of range.
VictimSettings victim_settings(const nlohmann::ordered_json& config, std::string_view path);
DefenseSettings defense_settings(const nlohmann::ordered_json& config, std::string_view path);

}  // namespace cnpd::runs
