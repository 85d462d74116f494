// Dropout (Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
// 2014). Masks are Philox's and are drawn again for the gradient instead of being kept.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"
#include "kernels/common/philox.h"

namespace cnpd::kernels {

// Which mask: the key and the stream of the draws. In the backend's memory, so that a step that is
// recorded as a graph draws another mask whenever it is replayed.
struct DropoutDraw {
    std::int64_t seed = 0, step = 0;

    // The draws of the elements 4 n to 4 n + 3.
    CNPD_HOST_DEVICE PhiloxResult of(std::int64_t n) const {
        return philox(static_cast<std::uint64_t>(seed), static_cast<std::uint64_t>(step),
                      static_cast<std::uint64_t>(n));
    }
};

// y = x / (1 - probability) where an element stays, 0 elsewhere; of dy it makes dx. y may be x, the
// probability is in [0,1). Element i stays if uniform_from_bits(draw->of(i / 4).v[i % 4]) >=
// probability.
CNPD_KERNEL(void dropout(float probability, const float* x, std::int64_t count,
                         const DropoutDraw* draw, float* y))
// ++draw->step
CNPD_KERNEL(void advance(DropoutDraw* draw))

}  // namespace cnpd::kernels
