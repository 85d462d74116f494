// Defenses that put a polarizer into the victim and train nothing else.
#pragma once

#include <memory>

#include "cnpd/defenses/defense.h"
#include "cnpd/polarizers/polarizer.h"
#include "cnpd/polarizers/purified_model.h"
#include "cnpd/training/experiment.h"

namespace cnpd::defenses {

// Fills in the insertion point. Reads the polarizers that are taken over from another run.
std::unique_ptr<Defense> make_polarizing(training::DefenseSettings& settings,
                                         const models::Classifier& victim,
                                         const training::InputInfo& input, engine::Device device);

// The untrained polarizer of such a defense, for this victim in evaluation mode. Throws InputError
// for an insertion point that the victim does not have.
std::unique_ptr<polarizers::Polarizer> make_polarizer(const training::DefenseSettings& settings,
                                                      const models::Classifier& victim,
                                                      const training::InputInfo& input,
                                                      engine::Device device);

// How victim and polarizer are put together.
polarizers::PurifiedOptions purified_options(const training::DefenseSettings& settings);

}  // namespace cnpd::defenses
