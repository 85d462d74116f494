// The polarizer in training with batch statistics instead of frozen ones: a 1x1 convolution, and a
// batch norm that uses, for each map, the mean and variance of the convolution's output over the
// samples routed through that map.
//
//     u[n,p] = W[y_n] z[n,p]
//     mean[y], variance[y]: of u over the samples with y_n = y and all positions, biased
//     out[n,p] = gamma[y_n] (u[n,p] - mean[y_n]) inv_std[y_n] + beta[y_n]
//     inv_std = 1 / sqrt(variance + eps)
//
// Shapes, samples and layouts as in polarizer.h. With bfloat16 activations W and, in the backward
// pass, the gradient of u are rounded; statistics are computed from the sums, before these are
// rounded to u.
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"
#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels {

// All [classes,C].
struct PolarizerBatchNorm {
    const float *gamma, *beta;
    // running = (1 - momentum) running + momentum batch, with the unbiased variance, as in PyTorch;
    // unchanged for a class without samples. Both null: not computed.
    float *running_mean, *running_variance;
    float eps = 1e-5f, momentum = 0.1f;
};

// Writes u [N,P,C], mean and inv_std [classes,C] (0 and 1 for a class without samples) for the
// backward pass, and out [N,P,C]. weight [classes,C,C].
CNPD_ACTIVATION_KERNEL(void polarizer_batch_forward(
    const PolarizerShape& shape, const Activation* z, const PolarizerSamples& samples,
    const Activation* weight, const PolarizerBatchNorm& norm, Activation* u, float* mean,
    float* inv_std, Activation* out))

// Inputs of the backward pass, most of them stored by the forward pass.
template <typename Activation>
struct PolarizerBatch {
    const Activation *z, *u;              // [N,P,C]; z may be null if dweight is
    const float *mean, *inv_std, *gamma;  // [classes,C]
    PolarizerMaps<Activation> weight;     // a and, on a GPU, transposed; b is not used
};
// Null: not wanted.
template <typename Activation>
struct PolarizerBatchGradients {
    Activation* dz;         // [N,P,C]
    float* dweight;         // [classes,C,C]; zero for a class without samples, as the following
    float *dgamma, *dbeta;  // [classes,C], always wanted
};
CNPD_ACTIVATION_KERNEL(void polarizer_batch_backward(
    const PolarizerShape& shape, const Activation* dout, const PolarizerSamples& samples,
    const PolarizerBatch<Activation>& batch, const PolarizerBatchGradients<Activation>& gradients))

}  // namespace cnpd::kernels
