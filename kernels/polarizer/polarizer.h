// The neural polarizer: a 1x1 convolution and a batch norm with frozen statistics, which together
// are one affine map of the channels at every position. Class-conditional polarizers have a map for
// each class; every sample uses the map of its own label.
//
//     out[n,p] = A[y_n] z[n,p] + b[y_n]          z, out [N,P,C]   (P = H*W positions)
//     A[y] = diag(scale_y) W[y],  b[y] = shift_y, scale = gamma / sqrt(variance + eps),
//                                 shift = beta - mean * scale
//
// Parameters are float32. The maps have the activations' type: with bfloat16 activations A is
// rounded once, when it is folded. Sums and b are float32; a result is rounded when it is stored.
//
// Sources: NPD, arXiv 2306.16697; CNPD, arXiv 2502.18520.
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"

namespace cnpd::kernels {

// N P < 2^31.
struct PolarizerShape {
    std::int64_t n = 0, positions = 0, channels = 0;
    std::int64_t classes = 1;  // number of maps; 1: shared by all samples
};

// The map of each sample.
struct PolarizerSamples {
    const std::int32_t* labels = nullptr;  // [N] in [0, classes); null: all 0
    // The samples sorted by label, from group_samples (grouping.h). A GPU needs them if there are
    // labels and several classes; the CPU ignores them.
    const std::int32_t* groups = nullptr;
};

template <typename Activation>
struct PolarizerMaps {
    const Activation* a;  // [classes,C,C], output channel first
    const float* b;       // [classes,C]
    // [classes,C,C], input channel first: for polarizer_dgrad on a GPU. Else it may be null.
    const Activation* transposed = nullptr;
};

// Parameters of `classes` polarizers: weight [classes,C,C] (output channel first), all else
// [classes,C].
struct PolarizerParameters {
    const float *weight, *gamma, *beta, *mean, *variance;
    float eps = 1e-5f;
};

// Folds batch norm into the convolution: a [classes,C,C], its transposed maps (null: not wanted),
// b [classes,C] (null: not wanted).
CNPD_ACTIVATION_KERNEL(void polarizer_fold(std::int64_t classes, std::int64_t channels,
                                           const PolarizerParameters& parameters, Activation* a,
                                           Activation* transposed, float* b))

// Backward of a: from da [classes,C,C] to the gradients of weight and gamma, both written.
CNPD_KERNEL(void polarizer_fold_backward(std::int64_t classes, std::int64_t channels,
                                         const PolarizerParameters& parameters, const float* da,
                                         float* dweight, float* dgamma))

// Backward of b: from db [count] to the gradient of gamma; beta's is db. count = classes C.
CNPD_KERNEL(void polarizer_shift_backward(std::int64_t count, const PolarizerParameters& parameters,
                                          const float* db, float* dgamma))

// out = A[label] z + b[label]. `out` is not `z`.
CNPD_ACTIVATION_KERNEL(void polarizer_forward(const PolarizerShape& shape, const Activation* z,
                                              const PolarizerSamples& samples,
                                              const PolarizerMaps<Activation>& maps,
                                              Activation* out))

// dz [N,P,C] = A[label]^T dout, all written.
CNPD_ACTIVATION_KERNEL(void polarizer_dgrad(const PolarizerShape& shape, const Activation* dout,
                                            const PolarizerSamples& samples,
                                            const PolarizerMaps<Activation>& maps, Activation* dz))

// da [classes,C,C] = sum over the class's samples and positions of dout z^T, db [classes,C] (null:
// not wanted) = sum of dout; zero for a class without samples. The order of a sum depends on the
// shape and the labels alone.
CNPD_ACTIVATION_KERNEL(void polarizer_wgrad(const PolarizerShape& shape, const Activation* z,
                                            const Activation* dout, const PolarizerSamples& samples,
                                            float* da, float* db))

// A weighted mixture of `terms` maps for each sample:
//     out[n] = sum_j weights[j,n] (A[labels[j,n]] z[n] + b[labels[j,n]])
// labels and weights [terms,N], with different labels for a sample; `first` are the samples grouped
// by labels[0].
struct PolarizerMixture {
    std::int64_t terms = 0;
    const std::int32_t* labels = nullptr;
    const float* weights = nullptr;
    PolarizerSamples first;
};
// With bfloat16 activations, weighted features are rounded before the product.
CNPD_ACTIVATION_KERNEL(void polarizer_mixture(const PolarizerShape& shape, const Activation* z,
                                              const PolarizerMixture& mixture,
                                              const PolarizerMaps<Activation>& maps,
                                              Activation* out))

}  // namespace cnpd::kernels
