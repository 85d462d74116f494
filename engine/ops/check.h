// Argument checks shared by the operations.
#pragma once

#include <initializer_list>

#include <fmt/format.h>

#include "engine/tensor.h"
#include "kernels/common/error.h"

namespace cnpd::engine::ops {

// Throws ShapeError unless all defined tensors are on x's device.
inline void require_same_device(const char* operation, const Tensor& x,
                                std::initializer_list<const Tensor*> others) {
    for (const Tensor* other : others)
        if (other->defined() && !(other->device() == x.device()))
            throw ShapeError(fmt::format("{}: tensors on {} and {}", operation, x.device().str(),
                                         other->device().str()));
}

inline void require_shape(const char* operation, const char* what, const Tensor& tensor,
                          const Shape& expected) {
    if (!tensor.defined() || !(tensor.shape() == expected))
        throw ShapeError(fmt::format("{}: {} is {}, expected {}", operation, what,
                                     tensor.defined() ? tensor.shape().str() : "undefined",
                                     expected.str()));
}

inline void require_rank(const char* operation, const char* what, const Tensor& tensor, int rank) {
    if (!tensor.defined() || tensor.shape().rank() != rank)
        throw ShapeError(fmt::format("{}: {} is {}, expected {} axes", operation, what,
                                     tensor.defined() ? tensor.shape().str() : "undefined", rank));
}

// Uninitialised, with the same shape, type and device.
inline Tensor empty_like(const Tensor& x) {
    return Tensor::empty(x.shape(), x.dtype(), x.device());
}

// For a backward function whose kernel may write its result over `gradient`: the gradient itself if
// nothing else refers to its data, which saves reading the result's memory before it is written.
inline Tensor over(const Tensor& gradient) {
    return gradient.unique() ? gradient.detach() : empty_like(gradient);
}

}  // namespace cnpd::engine::ops
