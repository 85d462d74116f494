// Helpers for tests of gradients.
#pragma once

#include <doctest/doctest.h>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "tests/support/compare.h"

namespace cnpd::tests {

// Normal numbers.
inline engine::Tensor random_tensor(const engine::Shape& shape, float scale = 1) {
    return engine::Tensor::from(random_values(shape.elements(), scale), shape);
}
inline engine::Tensor random_leaf(const engine::Shape& shape, float scale = 1) {
    return random_tensor(shape, scale).set_requires_grad();
}

// The sum of y times dy: its backward() passes exactly dy to y.
inline engine::Tensor weighted_sum(const engine::Tensor& y, const engine::Tensor& dy) {
    const engine::Shape row{1, y.elements()};
    return engine::ops::linear(engine::ops::reshape(y, row), dy.view(row), {});
}

inline engine::Tensor sum(const engine::Tensor& y) {
    return weighted_sum(y, engine::Tensor::full(y.shape(), 1));
}

inline std::vector<float> host(const engine::Tensor& tensor) {
    return tensor.to_host<float>();
}

}  // namespace cnpd::tests
