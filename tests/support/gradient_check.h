// Compares gradients with central differences along random directions. The losses are float and
// should be near 1: their rounding, with two steps of 1/1024, causes an error of about 1e-4. The
// inputs of ReLUs and maxima have to be chosen so that no step crosses a kink, where the quotient
// would be wrong.
#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "tests/support/tape.h"

namespace cnpd::tests {

using Loss = std::function<engine::Tensor(const std::vector<engine::Tensor>&)>;

inline double inner_product(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
    return sum;
}

// Three directions for each input.
inline void check_gradients(const Loss& loss, const std::vector<engine::Tensor>& inputs) {
    std::vector<engine::Tensor> leaves;
    for (const engine::Tensor& input : inputs) leaves.push_back(input.clone().set_requires_grad());
    engine::backward(loss(leaves));
    constexpr float kStep = 1.0f / 1024;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        CAPTURE(i);
        const std::vector<float> at = host(inputs[i]);
        REQUIRE(leaves[i].grad().defined());
        REQUIRE(leaves[i].grad().shape() == inputs[i].shape());
        const std::vector<float> gradient = host(leaves[i].grad());
        const double length = std::sqrt(inner_product(gradient, gradient));
        for (int trial = 0; trial < 3; ++trial) {
            const std::vector<float> direction = random_values(inputs[i].elements());
            const auto value_at = [&](float step) {
                std::vector<float> moved = at;
                for (std::size_t k = 0; k < at.size(); ++k) moved[k] += step * direction[k];
                std::vector<engine::Tensor> there = inputs;
                there[i] = engine::Tensor::from(moved, inputs[i].shape());
                return static_cast<double>(loss(there).item());
            };
            const double quotient = (value_at(kStep) - value_at(-kStep)) / (2 * kStep);
            // In a random direction the derivative is about as large as the gradient's norm.
            CHECK(std::fabs(inner_product(gradient, direction) - quotient) <= 2e-3 * length + 1e-3);
        }
    }
}

}  // namespace cnpd::tests
