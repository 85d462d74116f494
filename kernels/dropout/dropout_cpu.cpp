#include <algorithm>

#include "kernels/common/parallel.h"
#include "kernels/dropout/dropout.h"

namespace cnpd::kernels::cpu {

void dropout(float probability, const float* x, std::int64_t count, const DropoutDraw* draw,
             float* y) {
    constexpr std::int64_t kOfDraw = 4, kGrain = 1024;  // elements per draw, draws per thread
    const DropoutDraw which = *draw;
    const float scale = 1 / (1 - probability);
    parallel_for((count + kOfDraw - 1) / kOfDraw, kGrain, [=](std::int64_t n, std::int64_t last) {
        for (; n < last; ++n) {
            const PhiloxResult bits = which.of(n);
            const std::int64_t first = n * kOfDraw, length = std::min(kOfDraw, count - first);
            for (std::int64_t k = 0; k < length; ++k) {
                const bool stays = uniform_from_bits(bits.v[k]) >= probability;
                y[first + k] = stays ? x[first + k] * scale : 0;
            }
        }
    });
}

void advance(DropoutDraw* draw) {
    ++draw->step;
}

}  // namespace cnpd::kernels::cpu
