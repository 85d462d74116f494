// Fine-tuning of all weights on the clean images: the baseline of every comparison.
#pragma once

#include <memory>

#include "cnpd/defenses/defense.h"
#include "cnpd/training/experiment.h"

namespace cnpd::defenses {

std::unique_ptr<Defense> make_fine_tuning(training::DefenseSettings& settings,
                                          const models::Classifier& victim,
                                          const training::InputInfo& input, engine::Device device);

}  // namespace cnpd::defenses
