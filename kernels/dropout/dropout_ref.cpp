#include "kernels/dropout/dropout.h"

namespace cnpd::kernels::reference {

void dropout(float probability, const float* x, std::int64_t count, const DropoutDraw* draw,
             float* y) {
    for (std::int64_t i = 0; i < count; ++i) {
        const bool stays = uniform_from_bits(draw->of(i / 4).v[i % 4]) >= probability;
        y[i] = stays ? static_cast<float>(x[i] / (1.0 - probability)) : 0;
    }
}

void advance(DropoutDraw* draw) {
    ++draw->step;
}

}  // namespace cnpd::kernels::reference
