// Shared by the models' comparisons with PyTorch's numbers.
#pragma once

#include <memory>

#include "engine/random.h"
#include "models/classifier.h"

namespace cnpd::tests {

// Relative errors of float32, with a tenfold margin for Winograd's convolutions.
constexpr double kLogits = 1e-5, kGradient = 1e-4;

inline std::unique_ptr<models::Classifier> fresh_model(const models::ModelOptions& options) {
    engine::Generator generator(1);
    return models::make_model(options, generator, {});
}

}  // namespace cnpd::tests
