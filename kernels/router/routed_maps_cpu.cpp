#include <cmath>
#include <memory>

#include "kernels/common/parallel.h"
#include "kernels/router/routed_maps.h"

namespace cnpd::kernels::cpu {
namespace {

std::unique_ptr<float[]> scratch(std::int64_t count) {
    return std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(count));
}

float inverse_std(const RouterParameters& p, std::int64_t i) {
    return 1 / std::sqrt(p.variance[i] + p.eps);
}

// to [maps,C,C] = diag(scale) from; they may be the same.
void scale_rows(const RouterParameters& p, std::int64_t maps, std::int64_t channels,
                const float* from, float* to) {
    parallel_for(maps * channels, 64, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
            const std::int64_t i = row % channels;
            const float scale = p.gamma[i] / std::sqrt(p.variance[i] + p.eps);
            for (std::int64_t k = row * channels; k < (row + 1) * channels; ++k)
                to[k] = scale * from[k];
        }
    });
}

}  // namespace

void routed_maps(const RoutedShape& shape, const RouterParameters& p, float* attention, float* a,
                 float* transposed, float* b) {
    const std::int64_t channels = shape.channels;
    router_attention(shape.attention(), p.queries, p.keys, attention);
    mix_experts(shape.mixture(), attention, p.experts, a);
    scale_rows(p, shape.classes, channels, a, a);
    for (std::int64_t row = 0; transposed && row < shape.classes * channels; ++row)
        for (std::int64_t j = 0; j < channels; ++j)
            transposed[(row / channels * channels + j) * channels + row % channels] =
                a[row * channels + j];
    for (std::int64_t row = 0; row < shape.classes * channels; ++row) {
        const std::int64_t i = row % channels;
        b[row] = p.beta[i] - p.mean[i] * (p.gamma[i] / std::sqrt(p.variance[i] + p.eps));
    }
}

void routed_maps_backward(const RoutedShape& shape, const RouterParameters& p,
                          const float* attention, const float* da,
                          const RouterGradients& gradients) {
    const std::int64_t channels = shape.channels, values = channels * channels;
    const auto scaled = scratch(shape.experts * values);
    const auto dattention = scratch(shape.classes * shape.experts);
    scale_rows(p, shape.experts, channels, p.experts, scaled.get());
    mix_experts_backward_attention(shape.mixture(), scaled.get(), da, dattention.get());
    router_attention_backward(shape.attention(), p.queries, p.keys, attention, dattention.get(),
                              gradients.queries, gradients.keys);
    // Of the unscaled mixture, from which the gradient of the scale follows too.
    mix_experts_backward(shape.mixture(), attention, da, gradients.experts);
    parallel_for(channels, 8, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
            float dscale = 0;
            for (std::int64_t m = 0; m < shape.experts; ++m) {
                const std::int64_t row = m * values + i * channels;
#pragma omp simd reduction(+ : dscale)
                for (std::int64_t j = 0; j < channels; ++j)
                    dscale += gradients.experts[row + j] * p.experts[row + j];
            }
            gradients.gamma[i] = dscale * inverse_std(p, i);
        }
    });
    scale_rows(p, shape.experts, channels, gradients.experts, gradients.experts);
}

void routed_shift_backward(std::int64_t classes, std::int64_t channels, const RouterParameters& p,
                           const float* db, float* dgamma, float* dbeta) {
    for (std::int64_t i = 0; i < channels; ++i) {
        float sum = 0;
        for (std::int64_t y = 0; y < classes; ++y) sum += db[y * channels + i];
        dbeta[i] = sum;
        dgamma[i] = -p.mean[i] * inverse_std(p, i) * sum;
    }
}

}  // namespace cnpd::kernels::cpu
