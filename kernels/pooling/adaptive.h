// Average pooling of [N,H,W,C] to [N,OH,OW,C] of any size, smaller or larger: PyTorch's
// AdaptiveAvgPool2d.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct AdaptivePoolingShape {
    std::int64_t n = 0, h = 0, w = 0, c = 0;
    std::int64_t out_h = 0, out_w = 0;
};

struct Overlap {
    std::int64_t first = 0, end = 0;
    CNPD_HOST_DEVICE std::int64_t size() const { return end - first; }
};
// When two axes of `of` and `onto` cells are laid over each other: the cells of the second that
// cell `index` of the first meets. It works both ways: the window of an output is what it meets of
// the image, and what an element of the image meets are the outputs whose windows it is in.
CNPD_HOST_DEVICE inline Overlap overlap(std::int64_t index, std::int64_t of, std::int64_t onto) {
    return {index * onto / of, ((index + 1) * onto + of - 1) / of};
}

// y = the mean of each output's window.
CNPD_KERNEL(void adaptive_average_pool_forward(const AdaptivePoolingShape& shape, const float* x,
                                               float* y))
// Writes all of dx.
CNPD_KERNEL(void adaptive_average_pool_backward(const AdaptivePoolingShape& shape, const float* dy,
                                                float* dx))

}  // namespace cnpd::kernels
