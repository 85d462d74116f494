// The polarizer as an operation of the engine; kernels/polarizer has the formulas.
#pragma once

#include "engine/tensor.h"

namespace cnpd::ops {

using engine::Tensor;

// Parameters of `maps` polarizers over C channels.
struct PolarizerParameters {
    Tensor weight;          // [maps,C,C], output channel first
    Tensor gamma, beta;     // [maps,C]
    Tensor mean, variance;  // [maps,C], frozen statistics
    float eps = 1e-5f;
};

// Folded parameters: out = a z + b at every position.
struct AffineMaps {
    Tensor a;  // [maps,C,C]
    Tensor b;  // [maps,C]
};

// Folds batch norm into the convolution. Not recorded: polarize() differentiates through it.
AffineMaps fold_polarizer(const PolarizerParameters& parameters);

// z [N,H,W,C] -> [N,H,W,C], each sample through the map given by `labels` (int32 [N], undefined for
// a single map). `maps` must be fold_polarizer(parameters). Gradients flow to z, weight, gamma and
// beta.
Tensor polarize(const Tensor& z, const Tensor& labels, const PolarizerParameters& parameters,
                const AffineMaps& maps);

// Training with the batch's statistics instead of frozen ones
// (kernels/polarizer/batch_statistics.h): batch norm uses the mean and variance of each map's
// output for its own samples, and updates the parameters' `mean` and `variance` as running
// statistics, as in PyTorch. Does not use the folded maps. Gradients flow to z, weight, gamma and
// beta.
Tensor polarize_with_batch_statistics(const Tensor& z, const Tensor& labels,
                                      const PolarizerParameters& parameters, float momentum = 0.1f);

// Inference only: the same as polarize() from the folded maps.
Tensor apply_maps(const Tensor& z, const Tensor& labels, const AffineMaps& maps);

// Inference only: the mixture sum_j weights[:,j] (a[labels[:,j]] z + b[labels[:,j]]).
// labels int32 [k,N] and weights [k,N]: one row for each of the k terms.
Tensor polarize_mixture(const Tensor& z, const Tensor& labels, const Tensor& weights,
                        const AffineMaps& maps);

}  // namespace cnpd::ops
