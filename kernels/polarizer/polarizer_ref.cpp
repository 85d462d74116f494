#include <cmath>
#include <vector>

#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels::reference {

template <typename T>
void polarizer_fold(std::int64_t classes, std::int64_t channels,
                    const PolarizerParameters& parameters, T* a, T* transposed, float* b) {
    for (std::int64_t row = 0; row < classes * channels; ++row) {
        const double scale =
            parameters.gamma[row] / std::sqrt(double{parameters.variance[row]} + parameters.eps);
        const std::int64_t map = row / channels * channels;
        for (std::int64_t j = 0; j < channels; ++j) {
            const auto value = T(static_cast<float>(scale * parameters.weight[row * channels + j]));
            a[row * channels + j] = value;
            if (transposed) transposed[(map + j) * channels + row % channels] = value;
        }
        if (b) b[row] = static_cast<float>(parameters.beta[row] - parameters.mean[row] * scale);
    }
}
CNPD_INSTANTIATE(polarizer_fold);

void polarizer_fold_backward(std::int64_t classes, std::int64_t channels,
                             const PolarizerParameters& parameters, const float* da, float* dweight,
                             float* dgamma) {
    for (std::int64_t row = 0; row < classes * channels; ++row) {
        const double inverse_std = 1 / std::sqrt(double{parameters.variance[row]} + parameters.eps);
        const double scale = parameters.gamma[row] * inverse_std;
        double dscale = 0;
        for (std::int64_t i = row * channels; i < (row + 1) * channels; ++i) {
            dscale += double{da[i]} * parameters.weight[i];
            dweight[i] = static_cast<float>(scale * da[i]);
        }
        dgamma[row] = static_cast<float>(dscale * inverse_std);
    }
}

void polarizer_shift_backward(std::int64_t count, const PolarizerParameters& parameters,
                              const float* db, float* dgamma) {
    for (std::int64_t i = 0; i < count; ++i)
        dgamma[i] = static_cast<float>(-double{parameters.mean[i]} * db[i] /
                                       std::sqrt(double{parameters.variance[i]} + parameters.eps));
}

namespace {

// out[n,p] = A[label] in[n,p] + b[label] in double; `transposed`: A^T. visit(offset, value).
template <typename T, typename Input, typename Visit>
void for_each_output(const PolarizerShape& shape, const Input& in, const std::int32_t* labels,
                     const T* maps, const float* bias, bool transposed, const Visit& visit) {
    const std::int64_t channels = shape.channels;
    for (std::int64_t n = 0; n < shape.n; ++n) {
        const std::int64_t label = labels ? labels[n] : 0;
        const T* const map = maps + label * channels * channels;
        for (std::int64_t at = n * shape.positions * channels;
             at < (n + 1) * shape.positions * channels; at += channels)
            for (std::int64_t i = 0; i < channels; ++i) {
                double sum = bias ? bias[label * channels + i] : 0;
                for (std::int64_t j = 0; j < channels; ++j)
                    sum += double{map[transposed ? j * channels + i : i * channels + j]} *
                           in(n, at + j);
                visit(at + i, sum);
            }
    }
}

}  // namespace

template <typename T>
void polarizer_forward(const PolarizerShape& shape, const T* z, const PolarizerSamples& samples,
                       const PolarizerMaps<T>& maps, T* out) {
    for_each_output(
        shape, [&](std::int64_t, std::int64_t at) { return double{z[at]}; }, samples.labels, maps.a,
        maps.b, false, [&](std::int64_t at, double sum) { out[at] = T(static_cast<float>(sum)); });
}
CNPD_INSTANTIATE(polarizer_forward);

template <typename T>
void polarizer_dgrad(const PolarizerShape& shape, const T* dout, const PolarizerSamples& samples,
                     const PolarizerMaps<T>& maps, T* dz) {
    for_each_output(
        shape, [&](std::int64_t, std::int64_t at) { return double{dout[at]}; }, samples.labels,
        maps.a, nullptr, true,
        [&](std::int64_t at, double sum) { dz[at] = T(static_cast<float>(sum)); });
}
CNPD_INSTANTIATE(polarizer_dgrad);

template <typename T>
void polarizer_mixture(const PolarizerShape& shape, const T* z, const PolarizerMixture& mixture,
                       const PolarizerMaps<T>& maps, T* out) {
    std::vector<double> sums(static_cast<std::size_t>(shape.n * shape.positions * shape.channels));
    for (std::int64_t j = 0; j < mixture.terms; ++j) {
        const std::int32_t* const labels = mixture.labels + j * shape.n;
        const float* const weights = mixture.weights + j * shape.n;
        for_each_output(
            shape,
            [&](std::int64_t n, std::int64_t at) {
                return double{T(weights[n] * static_cast<float>(z[at]))};
            },
            labels, maps.a, nullptr, false,
            [&](std::int64_t at, double sum) {
                const std::int64_t n = at / (shape.positions * shape.channels);
                const float bias = maps.b[labels[n] * shape.channels + at % shape.channels];
                sums[static_cast<std::size_t>(at)] += sum + double{weights[n]} * bias;
            });
    }
    for (std::size_t i = 0; i < sums.size(); ++i) out[i] = T(static_cast<float>(sums[i]));
}
CNPD_INSTANTIATE(polarizer_mixture);

template <typename T>
void polarizer_wgrad(const PolarizerShape& shape, const T* z, const T* dout,
                     const PolarizerSamples& samples, float* da, float* db) {
    const std::int64_t channels = shape.channels;
    for (std::int64_t label = 0; label < shape.classes; ++label)
        for (std::int64_t i = 0; i < channels; ++i)
            // j == channels is the bias, whose input is 1 everywhere.
            for (std::int64_t j = 0; j < channels + (db ? 1 : 0); ++j) {
                double sum = 0;
                for (std::int64_t n = 0; n < shape.n; ++n) {
                    if ((samples.labels ? samples.labels[n] : 0) != label) continue;
                    for (std::int64_t p = 0; p < shape.positions; ++p) {
                        const std::int64_t at = (n * shape.positions + p) * channels;
                        sum += double{dout[at + i]} * (j < channels ? double{z[at + j]} : 1.0);
                    }
                }
                const std::int64_t row = label * channels + i;
                (j < channels ? da[row * channels + j] : db[row]) = static_cast<float>(sum);
            }
}
CNPD_INSTANTIATE(polarizer_wgrad);

}  // namespace cnpd::kernels::reference
