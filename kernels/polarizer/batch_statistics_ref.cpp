#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/polarizer/batch_statistics.h"

namespace cnpd::kernels::reference {
namespace {

// visit(row of [N P, C]) for every position of the class's samples; returns their number.
template <class Visit>
std::int64_t for_rows_of(const PolarizerShape& shape, const std::int32_t* labels,
                         std::int64_t label, const Visit& visit) {
    std::int64_t rows = 0;
    for (std::int64_t n = 0; n < shape.n; ++n)
        if ((labels ? labels[n] : 0) == label)
            for (std::int64_t p = 0; p < shape.positions; ++p, ++rows)
                visit(n * shape.positions + p);
    return rows;
}

}  // namespace

template <typename T>
void polarizer_batch_forward(const PolarizerShape& shape, const T* z,
                             const PolarizerSamples& samples, const T* weight,
                             const PolarizerBatchNorm& norm, T* u, float* mean, float* inv_std,
                             T* out) {
    const std::int32_t* const labels = samples.labels;
    const std::int64_t channels = shape.channels;
    for (std::int64_t at = 0; at < shape.classes * channels; ++at) {
        const std::int64_t label = at / channels, i = at % channels;
        std::vector<double> values;
        for_rows_of(shape, labels, label, [&](std::int64_t row) {
            double value = 0;
            for (std::int64_t j = 0; j < channels; ++j)
                value += double{weight[at * channels + j]} * z[row * channels + j];
            u[row * channels + i] = T(static_cast<float>(value));
            values.push_back(value);
        });
        mean[at] = 0;
        inv_std[at] = 1;
        if (values.empty()) continue;
        const auto count = static_cast<double>(values.size());
        double average = 0, variance = 0;
        for (const double value : values) average += value / count;
        for (const double value : values) variance += (value - average) * (value - average) / count;
        const double inverse = 1 / std::sqrt(variance + norm.eps);
        mean[at] = static_cast<float>(average);
        inv_std[at] = static_cast<float>(inverse);
        std::size_t next = 0;
        for_rows_of(shape, labels, label, [&](std::int64_t row) {
            out[row * channels + i] = T(static_cast<float>(
                norm.gamma[at] * (values[next++] - average) * inverse + norm.beta[at]));
        });
        if (!norm.running_mean) continue;
        const double share = norm.momentum, unbiased = variance * count / std::max(count - 1, 1.0);
        norm.running_mean[at] =
            static_cast<float>((1 - share) * norm.running_mean[at] + share * average);
        norm.running_variance[at] =
            static_cast<float>((1 - share) * norm.running_variance[at] + share * unbiased);
    }
}
CNPD_INSTANTIATE(polarizer_batch_forward);

template <typename T>
void polarizer_batch_backward(const PolarizerShape& shape, const T* dout,
                              const PolarizerSamples& samples, const PolarizerBatch<T>& batch,
                              const PolarizerBatchGradients<T>& gradients) {
    const std::int32_t* const labels = samples.labels;
    const std::int64_t channels = shape.channels;
    std::vector<T> du(static_cast<std::size_t>(shape.n * shape.positions * channels));
    for (std::int64_t at = 0; at < shape.classes * channels; ++at) {
        const std::int64_t label = at / channels, i = at % channels;
        const double mean = batch.mean[at], inverse = batch.inv_std[at];
        // x: u normalised
        const auto x = [&](std::int64_t row) {
            return (batch.u[row * channels + i] - mean) * inverse;
        };
        double sum_g = 0, sum_gx = 0;
        const std::int64_t rows = for_rows_of(shape, labels, label, [&](std::int64_t row) {
            sum_g += dout[row * channels + i];
            sum_gx += dout[row * channels + i] * x(row);
        });
        const double count = std::max<double>(1, static_cast<double>(rows));
        for_rows_of(shape, labels, label, [&](std::int64_t row) {
            du[row * channels + i] = T(static_cast<float>(
                batch.gamma[at] * inverse *
                (dout[row * channels + i] - sum_g / count - x(row) * sum_gx / count)));
        });
        gradients.dgamma[at] = static_cast<float>(sum_gx);
        gradients.dbeta[at] = static_cast<float>(sum_g);
    }
    if (gradients.dz) polarizer_dgrad(shape, du.data(), samples, batch.weight, gradients.dz);
    if (gradients.dweight)
        polarizer_wgrad(shape, batch.z, du.data(), samples, gradients.dweight, nullptr);
}
CNPD_INSTANTIATE(polarizer_batch_backward);

}  // namespace cnpd::kernels::reference
