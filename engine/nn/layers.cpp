#include "engine/nn/layers.h"

#include <cmath>

#include "engine/autograd.h"

namespace cnpd::engine::nn {

Convolution::Convolution(const ConvolutionSettings& s, Generator& generator, Device device)
    : settings_(s) {
    const float fan_out = static_cast<float>(s.out * s.kernel * s.kernel);
    weight = register_parameter(
        "weight",
        normal_tensor(generator, {s.out, s.kernel, s.kernel, s.in}, std::sqrt(2 / fan_out), device),
        DiskLayout::filter);
}

Tensor Convolution::operator()(const Tensor& x, const Tensor& residual) const {
    return ops::convolution(
        x, weight,
        {.stride = settings_.stride, .padding = settings_.padding, .residual = residual});
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

Linear::Linear(std::int64_t in, std::int64_t out, Generator& generator, Device device) {
    const float bound = 1 / std::sqrt(static_cast<float>(in));
    const auto uniform = [&](std::int64_t count) {
        std::vector<float> values(count);
        for (float& value : values) value = bound * (2 * generator.uniform() - 1);
        return values;
    };
    weight = register_parameter("weight", Tensor::from(uniform(out * in), {out, in}, device));
    bias = register_parameter("bias", Tensor::from(uniform(out), {out}, device));
}

}  // namespace cnpd::engine::nn
