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
// Two axes with `of` and `onto` cells are aligned: returns the cells of the second axis that
// overlap cell `index` of the first. In one direction this is an output's window of the image; in
// the other it is the outputs whose windows contain an element of the image.
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
