// Parts shared by several models.
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

// A convolution and the batch norm after it, both modules of the enclosing module. When folded,
// they are one convolution with a bias, computed from the current weights.
struct NormalisedConvolution {
    NormalisedConvolution(const engine::nn::ConvolutionSettings& settings,
                          engine::Generator& generator, engine::Device device);

    // batch norm(convolution(x))
    Tensor operator()(const Tensor& x) const;
    // relu(batch norm(convolution(x)) + residual)
    Tensor with_relu(const Tensor& x, const Tensor& residual = {}) const;

    // Does not change the function in evaluation mode as long as the weights do not change.
    void fold();
    void unfold() { folded_filter_ = folded_bias_ = {}; }

    engine::nn::Convolution convolution;
    engine::nn::BatchNorm norm;

  private:
    Tensor folded(const Tensor& x, const Tensor& residual, bool relu) const;

    Tensor folded_filter_, folded_bias_;
};

// The index of the insertion point in a model's list. Throws InputError, which lists the valid
// names.
std::size_t position_of(std::string_view point, std::span<const std::string> points);

}  // namespace cnpd::models
