#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/channel_rows.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/optimizer/optimizer.h"

namespace cnpd::kernels::cpu {
namespace {

template <bool kMomentum, bool kNesterov>
void sgd(float momentum, const SgdBuffer& buffer) {
    const float learning_rate = *buffer.learning_rate, weight_decay = buffer.weight_decay;
    parallel_for(buffer.count, kElementGrain, [=](std::int64_t first, std::int64_t last) {
        const float* __restrict gradient = buffer.gradient;
        float* __restrict parameter = buffer.parameter, * __restrict velocity = buffer.velocity;
#pragma omp simd
        for (std::int64_t i = first; i < last; ++i) {
            float step = gradient[i] + weight_decay * parameter[i];
            if constexpr (kMomentum) {
                const float v = momentum * velocity[i] + step;
                velocity[i] = v;
                step = kNesterov ? step + momentum * v : v;
            }
            parameter[i] -= learning_rate * step;
        }
    });
}

void adam(const AdamSettings& settings, const AdamBuffer& buffer) {
    const auto t = static_cast<double>(++*buffer.updates);
    const double correction1 = 1 - std::pow(settings.beta1, t);
    const double correction2 = std::sqrt(1 - std::pow(settings.beta2, t));
    const auto beta1 = static_cast<float>(settings.beta1);
    const auto beta2 = static_cast<float>(settings.beta2);
    const auto share1 = static_cast<float>(1 - settings.beta1);
    const auto share2 = static_cast<float>(1 - settings.beta2);
    const auto step_size = static_cast<float>(*buffer.learning_rate / correction1);
    const auto inverse_correction2 = static_cast<float>(1 / correction2);
    const float weight_decay = buffer.weight_decay, eps = settings.eps;
    parallel_for(buffer.count, kElementGrain / 2, [=](std::int64_t first, std::int64_t last) {
        const float* __restrict gradients = buffer.gradient;
        float* __restrict p = buffer.parameter, * __restrict m = buffer.first_moment,
                          * __restrict v = buffer.second_moment;
#pragma omp simd
        for (std::int64_t i = first; i < last; ++i) {
            const float g = gradients[i] + weight_decay * p[i];
            m[i] = beta1 * m[i] + share1 * g;
            v[i] = beta2 * v[i] + share2 * g * g;
            p[i] -= step_size * m[i] / (std::sqrt(v[i]) * inverse_correction2 + eps);
        }
    });
}

}  // namespace

void sgd_step(const SgdSettings& settings, const SgdBuffer* buffers, std::int64_t count) {
    const auto step = settings.momentum == 0 ? sgd<false, false>
                      : settings.nesterov    ? sgd<true, true>
                                             : sgd<true, false>;
    for (const SgdBuffer* b = buffers; b != buffers + count; ++b)
        if (!b->active || *b->active != 0) step(settings.momentum, *b);
}

void adam_step(const AdamSettings& settings, const AdamBuffer* buffers, std::int64_t count) {
    for (const AdamBuffer* b = buffers; b != buffers + count; ++b)
        if (!b->active || *b->active != 0) adam(settings, *b);
}

void clip_rows(const RowClipping& clipping, const RowsBuffer* buffers, std::int64_t count,
               float* factors) {
    for (std::int64_t r = 0; r < clipping.rows; ++r) {
        double squares = 0;
        for (const RowsBuffer* b = buffers; b != buffers + count; ++b) {
            double of_buffer = 0;
            sum_of_squares(b->gradient + r * b->values, b->values, &of_buffer);
            squares += of_buffer;
        }
        const double norm = clipping.factor * std::sqrt(squares);
        const double clip = clipping.norm > 0 ? std::min(1.0, clipping.norm / (norm + 1e-12)) : 1.0;
        factors[r] = std::isfinite(norm)
                         ? static_cast<float>(norm > 0 ? clip * clipping.factor : 0.0)
                         : std::numeric_limits<float>::quiet_NaN();
        for (const RowsBuffer* b = buffers; b != buffers + count; ++b)
            scale(b->gradient + r * b->values, b->values, factors[r], b->gradient + r * b->values);
    }
}

}  // namespace cnpd::kernels::cpu
