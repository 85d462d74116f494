#include <cmath>

#include "kernels/batch_norm/coefficients.h"

namespace cnpd::kernels::reference {

void batch_norm_coefficients(std::int64_t channels, const float* mean, const float* variance,
                             const float* gamma, const float* beta, float eps, float* inv_std,
                             float* scale, float* shift) {
    for (std::int64_t i = 0; i < channels; ++i) {
        const double inverse = 1 / std::sqrt(static_cast<double>(variance[i]) + eps);
        inv_std[i] = static_cast<float>(inverse);
        scale[i] = static_cast<float>(gamma[i] * inverse);
        shift[i] = static_cast<float>(beta[i] - mean[i] * (gamma[i] * inverse));
    }
}

void batch_norm_inverse_std(std::int64_t channels, const float* variance, float eps,
                            float* inv_std) {
    for (std::int64_t i = 0; i < channels; ++i)
        inv_std[i] = static_cast<float>(1 / std::sqrt(static_cast<double>(variance[i]) + eps));
}

void batch_norm_update_running(std::int64_t channels, std::int64_t rows, const float* mean,
                               const float* variance, float momentum, float* running_mean,
                               float* running_variance, std::int64_t* batches) {
    const double m = momentum;
    const double unbiased = rows > 1 ? static_cast<double>(rows) / (rows - 1) : 1;
    for (std::int64_t i = 0; i < channels; ++i) {
        running_mean[i] = static_cast<float>((1 - m) * running_mean[i] + m * mean[i]);
        running_variance[i] =
            static_cast<float>((1 - m) * running_variance[i] + m * unbiased * variance[i]);
    }
    if (batches) ++*batches;
}

void batch_norm_backward_coefficients(std::int64_t channels, std::int64_t rows, const float* mean,
                                      const float* inv_std, const float* scale, const float* sum_g,
                                      float* sum_gx, float* b, float* c) {
    for (std::int64_t i = 0; i < channels; ++i) {
        const double inverse = inv_std[i], a = scale[i];
        const double slope = -a * inverse * inverse * sum_gx[i] / rows;
        b[i] = static_cast<float>(slope);
        c[i] = static_cast<float>(-a * sum_g[i] / rows - slope * mean[i]);
        sum_gx[i] = static_cast<float>(sum_gx[i] * inverse);
    }
}

}  // namespace cnpd::kernels::reference
