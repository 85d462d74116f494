#include <cmath>

#include "kernels/optimizer/optimizer.h"

namespace cnpd::kernels::reference {

void sgd_step(const SgdSettings& settings, const float* gradient, std::int64_t count,
              float* parameter, float* velocity) {
    for (std::int64_t i = 0; i < count; ++i) {
        double step = gradient[i] + static_cast<double>(settings.weight_decay) * parameter[i];
        if (settings.momentum != 0) {
            const double v = settings.first_step
                                 ? step
                                 : static_cast<double>(settings.momentum) * velocity[i] + step;
            velocity[i] = static_cast<float>(v);
            step = settings.nesterov ? step + settings.momentum * v : v;
        }
        parameter[i] = static_cast<float>(parameter[i] - settings.learning_rate * step);
    }
}

void adam_step(const AdamSettings& settings, const float* gradient, std::int64_t count,
               float* parameter, float* first_moment, float* second_moment) {
    const auto t = static_cast<double>(settings.step);
    for (std::int64_t i = 0; i < count; ++i) {
        const double g = gradient[i] + static_cast<double>(settings.weight_decay) * parameter[i];
        const double m = settings.beta1 * first_moment[i] + (1 - settings.beta1) * g;
        const double v = settings.beta2 * second_moment[i] + (1 - settings.beta2) * g * g;
        first_moment[i] = static_cast<float>(m);
        second_moment[i] = static_cast<float>(v);
        const double m_hat = m / (1 - std::pow(settings.beta1, t));
        const double v_hat = v / (1 - std::pow(settings.beta2, t));
        parameter[i] = static_cast<float>(parameter[i] - settings.learning_rate * m_hat /
                                                             (std::sqrt(v_hat) + settings.eps));
    }
}

}  // namespace cnpd::kernels::reference
