#include "engine/nn/layers.h"

#include <cmath>

#include <fmt/format.h>

#include "engine/autograd.h"
#include "kernels/common/error.h"

namespace cnpd::engine::nn {

Convolution::Convolution(const ConvolutionSettings& s, Generator& generator, Device device)
    : settings_(s) {
    const float fan_out = static_cast<float>(s.out * s.kernel * s.kernel);
    weight = register_parameter(
        "weight",
        normal_tensor(generator, {s.out, s.kernel, s.kernel, s.in}, std::sqrt(2 / fan_out), device),
        DiskLayout::filter);
    if (s.bias) bias = register_parameter("bias", Tensor::full({s.out}, 0, device));
}

Tensor Convolution::operator()(const Tensor& x, const Tensor& residual) const {
    return ops::convolution(x, weight,
                            {.stride = settings_.stride,
                             .padding = settings_.padding,
                             .bias = bias,
                             .residual = residual});
}

Tensor Convolution::mean(const Tensor& x) const {
    CNPD_CHECK_SHAPE(settings_.stride == 1,
                     fmt::format("Convolution::mean: stride {}", settings_.stride));
    return ops::convolution_mean(x, weight, settings_.padding, bias);
}

BatchNorm::BatchNorm(std::int64_t channels, Device device) {
    weight = register_parameter("weight", Tensor::full({channels}, 1, device));
    bias = register_parameter("bias", Tensor::full({channels}, 0, device));
    running_mean = register_buffer("running_mean", Tensor::full({channels}, 0, device));
    running_var = register_buffer("running_var", Tensor::full({channels}, 1, device));
    num_batches_tracked =
        register_buffer("num_batches_tracked", Tensor::zeros({}, DType::int64, device));
}

Tensor BatchNorm::apply(const Tensor& x, bool relu) const {
    return ops::batch_norm(x, {.gamma = weight,
                               .beta = bias,
                               .running_mean = running_mean,
                               .running_variance = running_var,
                               .batches = num_batches_tracked,
                               .training = training(),
                               .eps = kEps,
                               .relu = relu});
}

namespace {
// PyTorch's initial values of linear layers with so many inputs.
Tensor linear_start(Generator& generator, const Shape& shape, std::int64_t in, Device device) {
    const float bound = 1 / std::sqrt(static_cast<float>(in));
    std::vector<float> values(shape.elements());
    for (float& value : values) value = bound * (2 * generator.uniform() - 1);
    return Tensor::from(values, shape, device);
}
}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, Generator& generator, Device device) {
    weight = register_parameter("weight", linear_start(generator, {out, in}, in, device));
    bias = register_parameter("bias", linear_start(generator, {out}, in, device));
}

ImageLinear::ImageLinear(const Shape& image, std::int64_t out, Generator& generator,
                         Device device) {
    weight = register_parameter(
        "weight",
        linear_start(generator, {out, image[0], image[1], image[2]}, image.elements(), device),
        DiskLayout::flattened_filter);
    bias = register_parameter("bias", linear_start(generator, {out}, image.elements(), device));
}

Tensor ImageLinear::operator()(const Tensor& x) const {
    const std::int64_t out = bias.elements(), in = weight.elements() / out;
    return ops::linear(ops::reshape(x, {x.shape()[0], in}), ops::reshape(weight, {out, in}), bias);
}

Dropout::Dropout(float probability, Generator& generator, Device device)
    : probability_(probability) {
    const std::vector<std::int64_t> draw = {generator.bits(), 0};
    draw_ = register_training_state("draw", Tensor::from(draw, {2}, device));
}

Tensor Dropout::operator()(const Tensor& x) const {
    if (!training()) return x;
    Tensor draw = draw_;
    return ops::dropout(x, probability_, draw);
}

}  // namespace cnpd::engine::nn
