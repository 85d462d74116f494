// The polarizer in training with batch statistics instead of frozen ones: a 1x1 convolution, and a
// batch norm that uses, for each map, the mean and variance of the convolution's output over the
// samples routed through that map.
//
//     u[n,p] = W[y_n] z[n,p]
//     mean[y], variance[y]: of u over the samples with y_n = y and all positions, biased
//     out[n,p] = gamma[y_n] (u[n,p] - mean[y_n]) inv_std[y_n] + beta[y_n]
//     inv_std = 1 / sqrt(variance + eps)
//
// Shapes, labels and layouts as in polarizer.h. With bfloat16 activations the statistics are
// computed from the sums, before these are rounded to u. The backward function here returns du;
// polarizer_dgrad and polarizer_wgrad with W compute dz and dW from it.
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"
#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels {

// weight [classes,C,C], all else [classes,C].
struct PolarizerBatchNorm {
    const float *weight, *gamma, *beta;
    // running = (1 - momentum) running + momentum batch, with the unbiased variance, as in PyTorch;
    // unchanged for a class without samples. Both null: not computed.
    float *running_mean, *running_variance;
    float eps = 1e-5f, momentum = 0.1f;
};

// Writes u [N,P,C], mean and inv_std [classes,C] (0 and 1 for a class without samples) for the
// backward pass, and out [N,P,C].
CNPD_ACTIVATION_KERNEL(void polarizer_batch_forward(const PolarizerShape& shape,
                                                    const Activation* z, const std::int32_t* labels,
                                                    const PolarizerBatchNorm& norm, Activation* u,
                                                    float* mean, float* inv_std, Activation* out))

// Stored by the forward pass for the backward pass.
template <typename Activation>
struct PolarizerBatch {
    const Activation* u;
    const float *mean, *inv_std, *gamma;
};

// Writes du [N,P,C], through the statistics, and dgamma, dbeta [classes,C]; zero for a class
// without samples. du may be dout.
CNPD_ACTIVATION_KERNEL(void polarizer_batch_backward(
    const PolarizerShape& shape, const Activation* dout, const std::int32_t* labels,
    const PolarizerBatch<Activation>& batch, Activation* du, float* dgamma, float* dbeta))

}  // namespace cnpd::kernels
