// The per-channel arithmetic around the two passes of batch_norm.h: [C] vectors in and out, kept on
// the device to avoid waiting for the host.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

// inv_std = 1 / sqrt(variance + eps), scale = gamma * inv_std, shift = beta - mean * scale; all
// [C].
CNPD_KERNEL(void batch_norm_coefficients(std::int64_t channels, const float* mean,
                                         const float* variance, const float* gamma,
                                         const float* beta, float eps, float* inv_std, float* scale,
                                         float* shift))

// inv_std of a variance [C].
CNPD_KERNEL(void batch_norm_inverse_std(std::int64_t channels, const float* variance, float eps,
                                        float* inv_std))

// running = (1 - momentum) running + momentum batch, with the unbiased variance (rows / (rows -
// 1)), and ++*batches if not null, as in PyTorch.
CNPD_KERNEL(void batch_norm_update_running(std::int64_t channels, std::int64_t rows,
                                           const float* mean, const float* variance, float momentum,
                                           float* running_mean, float* running_variance,
                                           std::int64_t* batches))

// From the sums of batch_norm_backward_reduce, computes the coefficients of dx = a g + b x + c in
// training mode (a is `scale`), and turns sum_gx into the gradient of gamma, in place:
//     b = -scale inv_std^2 sum_gx / rows,  c = -scale sum_g / rows - b mean,  sum_gx *= inv_std
CNPD_KERNEL(void batch_norm_backward_coefficients(std::int64_t channels, std::int64_t rows,
                                                  const float* mean, const float* inv_std,
                                                  const float* scale, const float* sum_g,
                                                  float* sum_gx, float* b, float* c))

}  // namespace cnpd::kernels
