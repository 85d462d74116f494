// Dropout (Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
// 2014). Masks are Philox draws and are drawn again for the gradient instead of being stored.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"
#include "kernels/common/philox.h"

namespace cnpd::kernels {

// Identifies a mask: the key and the stream of the draws. In the backend's memory, so that a
// recorded graph draws another mask at every replay.
struct DropoutDraw {
    std::int64_t seed = 0, step = 0;

    // The draws of the elements 4 n to 4 n + 3.
    CNPD_HOST_DEVICE PhiloxResult of(std::int64_t n) const {
        return philox(static_cast<std::uint64_t>(seed), static_cast<std::uint64_t>(step),
                      static_cast<std::uint64_t>(n));
    }
};

// y = x / (1 - probability) for elements that are kept, 0 for the others; applied to dy it computes
// dx. y may be x; the probability is in [0,1). Element i is kept if uniform_from_bits(draw->of(i /
// 4).v[i % 4]) >= probability.
CNPD_KERNEL(void dropout(float probability, const float* x, std::int64_t count,
                         const DropoutDraw* draw, float* y))
// ++draw->step
CNPD_KERNEL(void advance(DropoutDraw* draw))

}  // namespace cnpd::kernels
