#include "models/parts.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/ops.h"
#include "kernels/common/error.h"

namespace cnpd::models {

namespace nn = engine::nn;
namespace ops = engine::ops;

NormalisedConvolution::NormalisedConvolution(const nn::ConvolutionSettings& settings,
                                             engine::Generator& generator, engine::Device device)
    : convolution(settings, generator, device), norm(settings.out, device) {}

Tensor NormalisedConvolution::operator()(const Tensor& x) const {
    if (folded_filter_.defined()) return folded(x, {}, false);
    return norm(convolution(x));
}

Tensor NormalisedConvolution::with_relu(const Tensor& x, const Tensor& residual) const {
    if (folded_filter_.defined()) return folded(x, residual, true);
    if (!residual.defined()) return norm.with_relu(convolution(x));
    return ops::relu(ops::add(norm(convolution(x)), residual));
}

Tensor NormalisedConvolution::folded(const Tensor& x, const Tensor& residual, bool relu) const {
    return ops::convolution(x, folded_filter_,
                            {.stride = convolution.stride(),
                             .padding = convolution.padding(),
                             .bias = folded_bias_,
                             .residual = residual,
                             .relu = relu});
}

void NormalisedConvolution::fold() {
    const auto host = [](const Tensor& tensor) { return tensor.to_host<float>(); };
    const auto gamma = host(norm.weight), beta = host(norm.bias), mean = host(norm.running_mean),
               variance = host(norm.running_var);
    std::vector<float> filter = host(convolution.weight), bias(gamma.size());
    if (convolution.bias.defined()) bias = host(convolution.bias);
    const std::size_t taps = filter.size() / gamma.size();
    for (std::size_t k = 0; k < gamma.size(); ++k) {
        const float scale = gamma[k] / std::sqrt(variance[k] + nn::BatchNorm::kEps);
        bias[k] = beta[k] + (bias[k] - mean[k]) * scale;
        for (std::size_t i = 0; i < taps; ++i) filter[k * taps + i] *= scale;
    }
    const engine::Device device = convolution.weight.device();
    folded_filter_ = Tensor::from(filter, convolution.weight.shape(), device);
    folded_bias_ = Tensor::from(bias, norm.bias.shape(), device);
}

std::size_t position_of(std::string_view point, std::span<const std::string> points) {
    const auto found = std::find(points.begin(), points.end(), point);
    if (found == points.end())
        throw InputError(
            fmt::format("unknown insertion point '{}'; known: {}", point, fmt::join(points, ", ")));
    return static_cast<std::size_t>(found - points.begin());
}

}  // namespace cnpd::models
