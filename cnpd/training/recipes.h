// The hyper-parameters of a defense, before options change some of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cnpd/training/settings.h"

namespace cnpd::training {

// What they depend on besides the method.
struct DefendedData {
    std::string dataset;  // "cifar10"
    std::int64_t classes = 0;
    std::int64_t h = 0, w = 0;  // of its images, in pixels
};

// Settings of a method of defenses/registry.h.
//   DefenseRecipe::tuned      what was chosen on development victims (docs/tuning.md)
//   DefenseRecipe::published  NPD's of arXiv 2306.16697, which the class-conditional methods share:
//                             a batch norm that starts fresh, sign steps, no clipping
// Fine-tuning has the benchmark's values either way. Unless a step size of the inner loop is given,
// it follows from the radius: see complete().
DefenseSettings recommended_settings(DefenseRecipe recipe, std::string_view method,
                                     const DefendedData& data);

// Fills in what follows from other settings: the inner loop's step size, where it is 0.
void complete(BilevelSettings& settings);

}  // namespace cnpd::training
