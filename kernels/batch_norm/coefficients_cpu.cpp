#include <cmath>

#include "kernels/batch_norm/coefficients.h"

namespace cnpd::kernels::cpu {

void batch_norm_inverse_std(std::int64_t channels, const float* variance, float eps,
                            float* inv_std) {
    for (std::int64_t c = 0; c < channels; ++c) inv_std[c] = 1.0f / std::sqrt(variance[c] + eps);
}

void batch_norm_coefficients(std::int64_t channels, const float* mean, const float* variance,
                             const float* gamma, const float* beta, float eps, float* inv_std,
                             float* scale, float* shift) {
    batch_norm_inverse_std(channels, variance, eps, inv_std);
    for (std::int64_t c = 0; c < channels; ++c) {
        scale[c] = gamma[c] * inv_std[c];
        shift[c] = beta[c] - mean[c] * scale[c];
    }
}

void batch_norm_update_running(std::int64_t channels, std::int64_t rows, const float* mean,
                               const float* variance, float momentum, float* running_mean,
                               float* running_variance, std::int64_t* batches) {
    const float unbiased = static_cast<float>(rows) / static_cast<float>(rows > 1 ? rows - 1 : 1);
    for (std::int64_t c = 0; c < channels; ++c) {
        running_mean[c] += momentum * (mean[c] - running_mean[c]);
        running_variance[c] += momentum * (variance[c] * unbiased - running_variance[c]);
    }
    if (batches) ++*batches;
}

void batch_norm_backward_coefficients(std::int64_t channels, std::int64_t rows, const float* mean,
                                      const float* inv_std, const float* scale, const float* sum_g,
                                      float* sum_gx, float* b, float* c) {
    const float inverse_rows = 1.0f / static_cast<float>(rows);
    for (std::int64_t i = 0; i < channels; ++i) {
        b[i] = -scale[i] * inv_std[i] * inv_std[i] * sum_gx[i] * inverse_rows;
        c[i] = -scale[i] * sum_g[i] * inverse_rows - b[i] * mean[i];
        sum_gx[i] *= inv_std[i];
    }
}

}  // namespace cnpd::kernels::cpu
