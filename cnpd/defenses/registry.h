// The defenses by name.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "cnpd/defenses/defense.h"
#include "cnpd/polarizers/purified_model.h"
#include "cnpd/training/experiment.h"

namespace cnpd::defenses {

struct DefenseInfo {
    std::string_view name, description;
    std::string_view polarizer{};  // that it puts into the victim, by name; empty: none
    polarizers::Routing routing = polarizers::Routing::prediction;  // between the polarizer's maps
};

// The known ones, for --help. Each polarizer is one.
std::vector<DefenseInfo> registry();

// Throws InputError for an unknown name.
DefenseInfo info_of(std::string_view name);

// The defense that the settings name, for this victim, which is in evaluation mode. Fills in the
// settings that follow from the victim. Throws InputError and FileError for those that do not fit
// it; nothing is written yet.
std::unique_ptr<Defense> make_defense(training::DefenseSettings& settings,
                                      const models::Classifier& victim,
                                      const training::InputInfo& input, engine::Device device);

}  // namespace cnpd::defenses
