// The layers of models. Names of parameters and initial values are PyTorch's, except that
// convolutions are initialised from He et al.'s normal distribution with fan-out, as in ResNets.
#pragma once

#include <cstdint>

#include "engine/nn/module.h"
#include "engine/ops.h"
#include "engine/random.h"

namespace cnpd::engine::nn {

struct ConvolutionSettings {
    std::int64_t in = 0, out = 0;  // channels
    std::int64_t kernel = 3, stride = 1, padding = 1;
    bool bias = false;  // not needed before a batch norm; starts at 0
};

class Convolution : public Module {
  public:
    Convolution(const ConvolutionSettings& settings, Generator& generator, Device device);
    // [N,H,W,in] -> [N,OH,OW,out], plus `residual` if defined.
    Tensor operator()(const Tensor& x, const Tensor& residual = {}) const;
    // The mean of the same over the image, for a fraction of the work; only for stride 1.
    // [N,H,W,in] -> float32 [N,out]
    Tensor mean(const Tensor& x) const;

    Tensor weight;  // [K,R,S,C]
    Tensor bias;    // [K], or undefined

    std::int64_t stride() const { return settings_.stride; }
    std::int64_t padding() const { return settings_.padding; }

  private:
    ConvolutionSettings settings_;
};

class BatchNorm : public Module {
  public:
    BatchNorm(std::int64_t channels, Device device);
    // relu(batch norm(x)), fused into one pass; training() selects the statistics.
    Tensor with_relu(const Tensor& x) const { return apply(x, true); }
    Tensor operator()(const Tensor& x) const { return apply(x, false); }

    Tensor weight, bias;               // gamma, beta [C]
    Tensor running_mean, running_var;  // [C]
    Tensor num_batches_tracked;        // int64, kept only because PyTorch's state dicts have it
    static constexpr float kEps = 1e-5f;

  private:
    Tensor apply(const Tensor& x, bool relu) const;
};

class Linear : public Module {
  public:
    Linear(std::int64_t in, std::int64_t out, Generator& generator, Device device);
    // [N,in] -> [N,out]
    Tensor operator()(const Tensor& x) const { return ops::linear(x, weight, bias); }

    Tensor weight, bias;
};

// A linear layer on the elements of an image. PyTorch flattens images in another order; therefore
// the weight is stored as an image for each output.
class ImageLinear : public Module {
  public:
    // image: {H,W,C}
    ImageLinear(const Shape& image, std::int64_t out, Generator& generator, Device device);
    // [N,H,W,C] -> [N,out]
    Tensor operator()(const Tensor& x) const;

    Tensor weight, bias;  // [out,H,W,C], [out]
};

// Drops elements in training mode, different ones in each step. The seed is drawn from the
// generator.
class Dropout : public Module {
  public:
    Dropout(float probability, Generator& generator, Device device);
    Tensor operator()(const Tensor& x) const;

  private:
    float probability_;
    Tensor draw_;  // seed and step
};

}  // namespace cnpd::engine::nn
