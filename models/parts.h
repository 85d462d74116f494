// Parts that several models are made of.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/nn/layers.h"

namespace cnpd::models {

using engine::Tensor;

// A module that only groups others under a name.
class Group : public engine::nn::Module {
  public:
    void add(std::string name, Module& child) { register_module(std::move(name), child); }
};

// A convolution and the batch norm behind it, two modules of whatever they are part of. Folded,
// they are one convolution with a bias, computed from the weights of that moment.
struct NormalisedConvolution {
    NormalisedConvolution(const engine::nn::ConvolutionSettings& settings,
                          engine::Generator& generator, engine::Device device);

    // batch norm(convolution(x))
    Tensor operator()(const Tensor& x) const;
    // relu(batch norm(convolution(x)) + residual)
    Tensor with_relu(const Tensor& x, const Tensor& residual = {}) const;

    // Changes nothing in evaluation mode, while the weights stay as they are.
    void fold();
    void unfold() { folded_filter_ = folded_bias_ = {}; }

    engine::nn::Convolution convolution;
    engine::nn::BatchNorm norm;

  private:
    Tensor folded(const Tensor& x, const Tensor& residual, bool relu) const;

    Tensor folded_filter_, folded_bias_;
};

// Where the insertion point is in a model's list. Throws InputError, which names those there are.
std::size_t position_of(std::string_view point, std::span<const std::string> points);

}  // namespace cnpd::models
