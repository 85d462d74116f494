// Batch normalisation over the channels of [rows,C] (rows = N*H*W), optionally with a fused ReLU.
// Training and evaluation use the same passes: `apply` takes scale and shift, computed from batch
// or running statistics.
//
//     scale = gamma * inv_std,  shift = beta - mean * scale,  inv_std = 1 / sqrt(variance + eps)
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"

namespace cnpd::kernels {

// Mean and biased variance of each channel: x [rows,C] -> mean [C], variance [C]. Numerically safe
// for |mean| >> deviation (the reference takes two passes).
CNPD_ACTIVATION_KERNEL(void batch_norm_statistics(const Activation* x, std::int64_t rows,
                                                  std::int64_t channels, float* mean,
                                                  float* variance))

// y = relu?(x * scale + shift), [rows,C]; y may be x. NaN stays NaN.
CNPD_ACTIVATION_KERNEL(void batch_norm_apply(const Activation* x, std::int64_t rows,
                                             std::int64_t channels, const float* scale,
                                             const float* shift, bool relu, Activation* y))

// Sums over rows, with g = dy where the ReLU was active (x * scale + shift > 0; everywhere without
// ReLU, where scale and shift are not read):
//     sum_g [C] = sum g                 the gradient of beta
//     sum_gx [C] = sum g (x - mean)     times inv_std: the gradient of gamma
CNPD_ACTIVATION_KERNEL(void batch_norm_backward_reduce(const Activation* dy, const Activation* x,
                                                       std::int64_t rows, std::int64_t channels,
                                                       const float* mean, const float* scale,
                                                       const float* shift, bool relu, float* sum_g,
                                                       float* sum_gx))

// dx = a g + b x + c, per channel, g as above, plus `add` [rows,C] if not null (the gradient that
// reaches the same input along a shortcut). Training passes the a, b, c computed from the sums;
// evaluation passes a = scale and b = c = nullptr, and then x is only read for the ReLU. Without
// ReLU, scale and shift are not read. dx may be dy or add.
CNPD_ACTIVATION_KERNEL(void batch_norm_backward_input(
    const Activation* dy, const Activation* x, std::int64_t rows, std::int64_t channels,
    const float* scale, const float* shift, bool relu, const float* a, const float* b,
    const float* c, const Activation* add, Activation* dx))

}  // namespace cnpd::kernels
