#include <cmath>
#include <vector>

#include "kernels/router/routed_maps.h"

namespace cnpd::kernels::reference {
namespace {

double inverse_std(const RouterParameters& p, std::int64_t i) {
    return 1 / std::sqrt(double{p.variance[i]} + p.eps);
}

}  // namespace

template <typename T>
void routed_maps(const RoutedShape& shape, const RouterParameters& p, float* attention, T* a,
                 T* transposed, float* b) {
    const std::int64_t channels = shape.channels;
    router_attention(shape.attention(), p.queries, p.keys, attention);
    for (std::int64_t y = 0; y < shape.classes; ++y)
        for (std::int64_t i = 0; i < channels; ++i) {
            const double scale = p.gamma[i] * inverse_std(p, i);
            for (std::int64_t j = 0; j < channels; ++j) {
                double sum = 0;
                for (std::int64_t m = 0; m < shape.experts; ++m)
                    sum += double{attention[y * shape.experts + m]} *
                           p.experts[(m * channels + i) * channels + j];
                const auto value = T(static_cast<float>(scale * sum));
                a[(y * channels + i) * channels + j] = value;
                if (transposed) transposed[(y * channels + j) * channels + i] = value;
            }
            b[y * channels + i] = static_cast<float>(p.beta[i] - p.mean[i] * scale);
        }
}
CNPD_INSTANTIATE(routed_maps);

void routed_maps_backward(const RoutedShape& shape, const RouterParameters& p,
                          const float* attention, const float* da,
                          const RouterGradients& gradients) {
    const std::int64_t channels = shape.channels, values = channels * channels;
    std::vector<float> dattention(static_cast<std::size_t>(shape.classes * shape.experts));
    for (std::int64_t i = 0; i < channels; ++i) gradients.gamma[i] = 0;
    std::vector<double> dscale(static_cast<std::size_t>(channels));
    for (std::int64_t m = 0; m < shape.experts; ++m)
        for (std::int64_t at = 0; at < values; ++at) {
            const std::int64_t i = at / channels;
            double sum = 0;
            for (std::int64_t y = 0; y < shape.classes; ++y)
                sum += double{attention[y * shape.experts + m]} * da[y * values + at];
            gradients.experts[m * values + at] =
                static_cast<float>(p.gamma[i] * inverse_std(p, i) * sum);
            dscale[static_cast<std::size_t>(i)] += sum * p.experts[m * values + at];
        }
    for (std::int64_t i = 0; i < channels; ++i)
        gradients.gamma[i] =
            static_cast<float>(dscale[static_cast<std::size_t>(i)] * inverse_std(p, i));
    for (std::int64_t y = 0; y < shape.classes; ++y)
        for (std::int64_t m = 0; m < shape.experts; ++m) {
            double sum = 0;
            for (std::int64_t at = 0; at < values; ++at)
                sum += p.gamma[at / channels] * inverse_std(p, at / channels) *
                       p.experts[m * values + at] * da[y * values + at];
            dattention[static_cast<std::size_t>(y * shape.experts + m)] = static_cast<float>(sum);
        }
    router_attention_backward(shape.attention(), p.queries, p.keys, attention, dattention.data(),
                              gradients.queries, gradients.keys);
}

void routed_shift_backward(std::int64_t classes, std::int64_t channels, const RouterParameters& p,
                           const float* db, float* dgamma, float* dbeta) {
    for (std::int64_t i = 0; i < channels; ++i) {
        double sum = 0;
        for (std::int64_t y = 0; y < classes; ++y) sum += db[y * channels + i];
        dbeta[i] = static_cast<float>(sum);
        dgamma[i] = static_cast<float>(-p.mean[i] * inverse_std(p, i) * sum);
    }
}

}  // namespace cnpd::kernels::reference
