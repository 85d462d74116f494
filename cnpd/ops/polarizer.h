// The polarizer as an operation of the engine; kernels/polarizer has the formulas.
#pragma once

#include <memory>

#include "engine/tensor.h"

namespace cnpd::kernels {
struct PolarizerSamples;
struct PolarizerShape;
}  // namespace cnpd::kernels

namespace cnpd::ops {

using engine::Tensor;

// The map of each sample: a label, int32 [N]. On a GPU the samples are sorted by label at the first
// use; copies share the result, so it is computed once for all operations on these labels. The
// labels must not change afterwards.
class Routes {
  public:
    Routes() = default;  // one map for all samples
    Routes(Tensor labels);
    const Tensor& labels() const { return labels_; }
    // For kernels. Sorts if necessary.
    kernels::PolarizerSamples samples(const kernels::PolarizerShape& shape) const;

  private:
    struct Groups;
    Tensor labels_;
    std::shared_ptr<Groups> groups_;
};

// Parameters of `maps` polarizers over C channels.
struct PolarizerParameters {
    Tensor weight;          // [maps,C,C], output channel first
    Tensor gamma, beta;     // [maps,C]
    Tensor mean, variance;  // [maps,C], frozen statistics
    float eps = 1e-5f;
};

// Folded parameters: out = a z + b at every position. a has the activations' type, b is float32.
struct AffineMaps {
    Tensor a;           // [maps,C,C], output channel first
    Tensor b;           // [maps,C]
    Tensor transposed;  // [maps,C,C], input channel first: for gradients on a GPU, else undefined
};

// Not yet written, for maps of shape [maps,C,C]. Has transposed maps if gradients are enabled.
AffineMaps empty_maps(const engine::Shape& shape, engine::DType activations, engine::Device device);

// Folds batch norm into the convolution, for activations of this type. Gradients of a and b, which
// are float32, flow to weight, gamma and beta.
AffineMaps fold_polarizer(const PolarizerParameters& parameters,
                          engine::DType activations = engine::DType::float32);

// z [N,H,W,C] -> [N,H,W,C], each sample through its map. Gradients flow to z, maps.a and maps.b.
Tensor polarize(const Tensor& z, const Routes& routes, const AffineMaps& maps);

// Training with the batch's statistics instead of frozen ones
// (kernels/polarizer/batch_statistics.h): batch norm uses the mean and variance of each map's
// output for its own samples, and updates the parameters' `mean` and `variance` as running
// statistics, as in PyTorch. Gradients flow to z, weight, gamma and beta.
Tensor polarize_with_batch_statistics(const Tensor& z, const Routes& routes,
                                      const PolarizerParameters& parameters, float momentum = 0.1f);

// The k most likely classes of each sample and their probabilities, which add up to 1.
struct TopClasses {
    Tensor labels, weights;  // [k,N], the most likely class first
};
// From logits [N,classes]; k is reduced to the number of classes. Not recorded.
TopClasses top_classes(const Tensor& logits, std::int64_t k);

// Inference only: the mixture sum_j weights[j] (a[labels[j]] z + b[labels[j]]).
Tensor polarize_mixture(const Tensor& z, const TopClasses& terms, const AffineMaps& maps);

}  // namespace cnpd::ops
