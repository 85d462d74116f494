// One pass over every buffer of a step, which device memory limits.
#include "kernels/optimizer/optimizer.h"

#include <cmath>

#include "kernels/common/vector_grid.h"

namespace cnpd::kernels::cuda {
namespace {

// 12 bytes an element, 20 with momentum. All threads take the same branches, which costs nothing
// beside the memory.
struct SgdStep {
    SgdSettings settings;
    const float* gradient;
    float *parameter, *velocity;

    template <int Width>
    __device__ void at(std::int64_t i) const {
        auto p = load<Width>(parameter + i);
        auto step = load<Width>(gradient + i);
        for (int k = 0; k < Width; ++k) step.of[k] += settings.weight_decay * p.of[k];
        if (settings.momentum != 0) {
            auto v = step;
            if (!settings.first_step) {
                const auto before = load<Width>(velocity + i);
                for (int k = 0; k < Width; ++k) v.of[k] += settings.momentum * before.of[k];
            }
            store(velocity + i, v);
            for (int k = 0; k < Width; ++k)
                step.of[k] = settings.nesterov ? step.of[k] + settings.momentum * v.of[k] : v.of[k];
        }
        for (int k = 0; k < Width; ++k) p.of[k] -= settings.learning_rate * step.of[k];
        store(parameter + i, p);
    }
};

// 28 bytes an element.
struct AdamStep {
    // What all elements have in common, computed in double on the host.
    float beta1, share1, beta2, share2;  // share: 1 - beta
    float step_size, inverse_correction2, eps, weight_decay;
    const float* gradient;
    float *parameter, *first_moment, *second_moment;

    template <int Width>
    __device__ void at(std::int64_t i) const {
        auto p = load<Width>(parameter + i), m = load<Width>(first_moment + i),
             v = load<Width>(second_moment + i);
        const auto gradients = load<Width>(gradient + i);
        for (int k = 0; k < Width; ++k) {
            const float g = gradients.of[k] + weight_decay * p.of[k];
            m.of[k] = beta1 * m.of[k] + share1 * g;
            v.of[k] = beta2 * v.of[k] + share2 * g * g;
            p.of[k] -= step_size * m.of[k] / (sqrtf(v.of[k]) * inverse_correction2 + eps);
        }
        store(parameter + i, p);
        store(first_moment + i, m);
        store(second_moment + i, v);
    }
};

}  // namespace

void sgd_step(const SgdSettings& settings, const float* gradient, std::int64_t count,
              float* parameter, float* velocity) {
    launch_packs("sgd_step", count, SgdStep{settings, gradient, parameter, velocity}, gradient,
                 parameter, velocity);
}

void adam_step(const AdamSettings& settings, const float* gradient, std::int64_t count,
               float* parameter, float* first_moment, float* second_moment) {
    const auto t = static_cast<double>(settings.step);
    const double correction1 = 1 - std::pow(settings.beta1, t);
    const double correction2 = std::sqrt(1 - std::pow(settings.beta2, t));
    const AdamStep step = {
        .beta1 = static_cast<float>(settings.beta1),
        .share1 = static_cast<float>(1 - settings.beta1),
        .beta2 = static_cast<float>(settings.beta2),
        .share2 = static_cast<float>(1 - settings.beta2),
        .step_size = static_cast<float>(settings.learning_rate / correction1),
        .inverse_correction2 = static_cast<float>(1 / correction2),
        .eps = settings.eps,
        .weight_decay = settings.weight_decay,
        .gradient = gradient,
        .parameter = parameter,
        .first_moment = first_moment,
        .second_moment = second_moment,
    };
    launch_packs("adam_step", count, step, gradient, parameter, first_moment, second_moment);
}

}  // namespace cnpd::kernels::cuda
