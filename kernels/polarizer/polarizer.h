// The neural polarizer: a 1x1 convolution and a batch norm with frozen statistics, which together
// are one affine map of the channels at every position. Class-conditional polarizers have a map for
// each class; every sample uses the map of its own label.
//
//     out[n,p] = A[y_n] z[n,p] + b[y_n]          z, out [N,P,C]   (P = H*W positions)
//     A[y] = diag(scale_y) W[y],  b[y] = shift_y, scale = gamma / sqrt(variance + eps),
//                                 shift = beta - mean * scale
//
// Sources: NPD, arXiv 2306.16697; CNPD, arXiv 2502.18520.
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"

namespace cnpd::kernels {

// Labels [N] below are in [0, classes).
struct PolarizerShape {
    std::int64_t n = 0, positions = 0, channels = 0;
    std::int64_t classes = 1;  // number of maps; 1: shared by all samples, labels may be null
};

// Parameters of `classes` polarizers: weight [classes,C,C] (output channel first), all else
// [classes,C].
struct PolarizerParameters {
    const float *weight, *gamma, *beta, *mean, *variance;
    float eps = 1e-5f;
};

// Folds batch norm into the convolution: a [classes,C,C], b [classes,C].
CNPD_KERNEL(void polarizer_fold(std::int64_t classes, std::int64_t channels,
                                const PolarizerParameters& parameters, float* a, float* b))

// Backward of the fold: from da [classes,C,C], db [classes,C] to the gradients of weight, gamma and
// beta (all written).
CNPD_KERNEL(void polarizer_fold_backward(std::int64_t classes, std::int64_t channels,
                                         const PolarizerParameters& parameters, const float* da,
                                         const float* db, float* dweight, float* dgamma,
                                         float* dbeta))

// out = A[label] z + b[label]. With `weights` [N] the result is multiplied by the sample's weight,
// and with accumulate added to out: a mixture of maps is several such passes.
CNPD_ACTIVATION_KERNEL(void polarizer_forward(const PolarizerShape& shape, const Activation* z,
                                              const std::int32_t* labels, const float* weights,
                                              bool accumulate, const float* a, const float* b,
                                              Activation* out))

// dz [N,P,C] = A[label]^T dout, all written.
CNPD_ACTIVATION_KERNEL(void polarizer_dgrad(const PolarizerShape& shape, const Activation* dout,
                                            const std::int32_t* labels, const float* a,
                                            Activation* dz))

// da [classes,C,C] = sum over the class's samples and positions of dout z^T, db [classes,C] = sum
// of dout; zero for a class without samples. Sums run in the order of the samples.
CNPD_ACTIVATION_KERNEL(void polarizer_wgrad(const PolarizerShape& shape, const Activation* z,
                                            const Activation* dout, const std::int32_t* labels,
                                            float* da, float* db))

}  // namespace cnpd::kernels
