// The polarizer in training with the statistics of the batch instead of frozen ones: a 1x1
// convolution and a batch norm that takes, for each map, the mean and variance of what the map
// makes of the samples that take it.
//
//     u[n,p] = W[y_n] z[n,p]
//     mean[y], variance[y]: of u over the samples with y_n = y and all positions, biased
//     out[n,p] = gamma[y_n] (u[n,p] - mean[y_n]) inv_std[y_n] + beta[y_n]
//     inv_std = 1 / sqrt(variance + eps)
//
// Shapes, labels and layouts as in polarizer.h. The statistics are those of the sums, before they
// are rounded to u where activations are bfloat16. The backward function here ends at du; dz and dW
// follow from it as for any map, by polarizer_dgrad and polarizer_wgrad with W.
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"
#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels {

// weight [classes,C,C], all else [classes,C].
struct PolarizerBatchNorm {
    const float *weight, *gamma, *beta;
    // running = (1 - momentum) running + momentum batch, with the unbiased variance, as in PyTorch;
    // those of a class without samples stay. Both null: not kept.
    float *running_mean, *running_variance;
    float eps = 1e-5f, momentum = 0.1f;
};

// Writes u [N,P,C], mean and inv_std [classes,C] (0 and 1 for a class without samples) for the
// backward pass, and out [N,P,C].
CNPD_ACTIVATION_KERNEL(void polarizer_batch_forward(const PolarizerShape& shape,
                                                    const Activation* z, const std::int32_t* labels,
                                                    const PolarizerBatchNorm& norm, Activation* u,
                                                    float* mean, float* inv_std, Activation* out))

// Kept by the forward pass for the backward pass.
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
