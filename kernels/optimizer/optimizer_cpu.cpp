#include <cmath>

#include "kernels/common/channel_rows.h"
#include "kernels/optimizer/optimizer.h"

namespace cnpd::kernels::cpu {
namespace {

template <bool kMomentum, bool kFirst, bool kNesterov>
void sgd(const SgdSettings& settings, const float* __restrict gradient, std::int64_t count,
         float* __restrict parameter, float* __restrict velocity) {
    const float learning_rate = settings.learning_rate, momentum = settings.momentum,
                weight_decay = settings.weight_decay;
    parallel_for(count, kElementGrain, [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
        for (std::int64_t i = first; i < last; ++i) {
            float step = gradient[i] + weight_decay * parameter[i];
            if constexpr (kMomentum) {
                const float v = kFirst ? step : momentum * velocity[i] + step;
                velocity[i] = v;
                step = kNesterov ? step + momentum * v : v;
            }
            parameter[i] -= learning_rate * step;
        }
    });
}

}  // namespace

void sgd_step(const SgdSettings& settings, const float* gradient, std::int64_t count,
              float* parameter, float* velocity) {
    if (settings.momentum == 0)
        sgd<false, false, false>(settings, gradient, count, parameter, velocity);
    else if (settings.first_step)
        (settings.nesterov ? sgd<true, true, true> : sgd<true, true, false>)(settings, gradient,
                                                                             count, parameter,
                                                                             velocity);
    else
        (settings.nesterov ? sgd<true, false, true> : sgd<true, false, false>)(settings, gradient,
                                                                               count, parameter,
                                                                               velocity);
}

void adam_step(const AdamSettings& settings, const float* gradient, std::int64_t count,
               float* parameter, float* first_moment, float* second_moment) {
    const auto t = static_cast<double>(settings.step);
    const double correction1 = 1 - std::pow(settings.beta1, t);
    const double correction2 = std::sqrt(1 - std::pow(settings.beta2, t));
    const auto beta1 = static_cast<float>(settings.beta1);
    const auto beta2 = static_cast<float>(settings.beta2);
    const auto share1 = static_cast<float>(1 - settings.beta1);
    const auto share2 = static_cast<float>(1 - settings.beta2);
    const auto step_size = static_cast<float>(settings.learning_rate / correction1);
    const auto inverse_correction2 = static_cast<float>(1 / correction2);
    const float weight_decay = settings.weight_decay, eps = settings.eps;
    parallel_for(count, kElementGrain / 2, [=](std::int64_t first, std::int64_t last) {
        const float* __restrict gradients = gradient;
        float* __restrict p = parameter, * __restrict m = first_moment, * __restrict v = second_moment;
#pragma omp simd
        for (std::int64_t i = first; i < last; ++i) {
            const float g = gradients[i] + weight_decay * p[i];
            m[i] = beta1 * m[i] + share1 * g;
            v[i] = beta2 * v[i] + share2 * g * g;
            p[i] -= step_size * m[i] / (std::sqrt(v[i]) * inverse_correction2 + eps);
        }
    });
}

}  // namespace cnpd::kernels::cpu
