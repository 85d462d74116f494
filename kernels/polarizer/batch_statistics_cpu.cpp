#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/polarizer/batch_statistics.h"

namespace cnpd::kernels::cpu {
namespace {

// Sums over the samples of each class are cut into ranges of channels, so that every sum belongs to
// one thread and runs in the order of the samples: the bits do not depend on the number of threads.
// A range begins at a multiple of 16, where vectors begin in every other cut as well.
template <class Body>
void for_channel_ranges(std::int64_t channels, const Body& body) {
    constexpr std::int64_t kGrain = 16;
    parallel_for((channels + kGrain - 1) / kGrain, 1, [&](std::int64_t first, std::int64_t last) {
        body(first * kGrain, std::min(last * kGrain, channels));
    });
}

// visit(at, row): the row of [N P, C] at every position, and the offset of its class's [C] vectors.
template <class Visit>
void for_each_row(const PolarizerShape& s, const std::int32_t* labels, std::int64_t first_sample,
                  std::int64_t last_sample, const Visit& visit) {
    for (std::int64_t n = first_sample; n < last_sample; ++n)
        for (std::int64_t p = 0; p < s.positions; ++p)
            visit((labels ? labels[n] : 0) * s.channels, (n * s.positions + p) * s.channels);
}

// The number of rows of each class in the batch.
std::vector<double> rows_of_classes(const PolarizerShape& s, const std::int32_t* labels) {
    std::vector<double> rows(s.classes, 0.0);
    for (std::int64_t n = 0; n < s.n; ++n)
        rows[labels ? labels[n] : 0] += static_cast<double>(s.positions);
    return rows;
}

void update_running(const PolarizerBatchNorm& norm, std::int64_t at, double rows, double mean,
                    double variance) {
    if (!norm.running_mean) return;
    const double share = norm.momentum, unbiased = variance * rows / std::max(rows - 1, 1.0);
    norm.running_mean[at] = static_cast<float>((1 - share) * norm.running_mean[at] + share * mean);
    norm.running_variance[at] =
        static_cast<float>((1 - share) * norm.running_variance[at] + share * unbiased);
}

void batch_statistics(const PolarizerShape& s, const std::int32_t* labels,
                      const PolarizerBatchNorm& norm, const float* u, float* mean, float* inv_std) {
    const std::vector<double> rows = rows_of_classes(s, labels);
    std::vector<double> averages(s.classes * s.channels, 0.0), squares(averages.size(), 0.0);
    for_channel_ranges(s.channels, [&](std::int64_t first, std::int64_t last) {
        const auto over_class = [&](std::vector<double>& sums) {
            for (std::int64_t y = 0; y < s.classes; ++y)
                for (std::int64_t c = first; c < last; ++c)
                    sums[y * s.channels + c] /= std::max(rows[y], 1.0);
        };
        for_each_row(s, labels, 0, s.n, [&](std::int64_t at, std::int64_t row) {
            for (std::int64_t c = first; c < last; ++c) averages[at + c] += u[row + c];
        });
        over_class(averages);
        for_each_row(s, labels, 0, s.n, [&](std::int64_t at, std::int64_t row) {
            for (std::int64_t c = first; c < last; ++c) {
                const double difference = u[row + c] - averages[at + c];
                squares[at + c] += difference * difference;
            }
        });
        over_class(squares);
    });
    for (std::int64_t at = 0; at < s.classes * s.channels; ++at) {
        const double count = rows[at / s.channels];
        mean[at] = static_cast<float>(averages[at]);
        inv_std[at] = count > 0 ? static_cast<float>(1 / std::sqrt(squares[at] + norm.eps)) : 1.0f;
        if (count > 0) update_running(norm, at, count, averages[at], squares[at]);
    }
}

}  // namespace

void polarizer_batch_forward(const PolarizerShape& shape, const float* z,
                             const PolarizerSamples& samples, const float* weight,
                             const PolarizerBatchNorm& norm, float* u, float* mean, float* inv_std,
                             float* out) {
    const std::int32_t* const labels = samples.labels;
    const std::vector<float> no_bias(shape.classes * shape.channels, 0.0f);
    polarizer_forward(shape, z, samples, {weight, no_bias.data()}, u);
    batch_statistics(shape, labels, norm, u, mean, inv_std);
    parallel_for(shape.n, 1, [&](std::int64_t first, std::int64_t last) {
        for_each_row(shape, labels, first, last, [&](std::int64_t at, std::int64_t row) {
#pragma omp simd
            for (std::int64_t c = 0; c < shape.channels; ++c)
                out[row + c] =
                    (u[row + c] - mean[at + c]) * (norm.gamma[at + c] * inv_std[at + c]) +
                    norm.beta[at + c];
        });
    });
}

void polarizer_batch_backward(const PolarizerShape& shape, const float* dout,
                              const PolarizerSamples& samples, const PolarizerBatch<float>& batch,
                              const PolarizerBatchGradients<float>& gradients) {
    const std::int32_t* const labels = samples.labels;
    const std::int64_t vectors = shape.classes * shape.channels;
    const std::vector<double> rows = rows_of_classes(shape, labels);
    std::vector<double> sum_g(vectors, 0.0), sum_gx(vectors, 0.0);
    for_channel_ranges(shape.channels, [&](std::int64_t first, std::int64_t last) {
        for_each_row(shape, labels, 0, shape.n, [&](std::int64_t at, std::int64_t row) {
            for (std::int64_t c = first; c < last; ++c) {
                const double g = dout[row + c];
                sum_g[at + c] += g;
                sum_gx[at + c] += g * (batch.u[row + c] - batch.mean[at + c]);
            }
        });
    });
    // du = a (g - b - c (u - mean))
    std::vector<float> a(vectors), b(vectors), c(vectors);
    for (std::int64_t at = 0; at < vectors; ++at) {
        const double inverse = batch.inv_std[at], count = std::max(rows[at / shape.channels], 1.0);
        gradients.dbeta[at] = static_cast<float>(sum_g[at]);
        gradients.dgamma[at] = static_cast<float>(sum_gx[at] * inverse);
        a[at] = batch.gamma[at] * batch.inv_std[at];
        b[at] = static_cast<float>(sum_g[at] / count);
        c[at] = static_cast<float>(sum_gx[at] * inverse * inverse / count);
    }
    if (!gradients.dz && !gradients.dweight) return;
    const auto du = std::make_unique_for_overwrite<float[]>(
        static_cast<std::size_t>(shape.n * shape.positions * shape.channels));
    parallel_for(shape.n, 1, [&](std::int64_t first, std::int64_t last) {
        for_each_row(shape, labels, first, last, [&](std::int64_t at, std::int64_t row) {
#pragma omp simd
            for (std::int64_t i = 0; i < shape.channels; ++i)
                du[row + i] = a[at + i] * (dout[row + i] - b[at + i] -
                                           c[at + i] * (batch.u[row + i] - batch.mean[at + i]));
        });
    });
    if (gradients.dz) polarizer_dgrad(shape, du.get(), samples, batch.weight, gradients.dz);
    if (gradients.dweight)
        polarizer_wgrad(shape, batch.z, du.get(), samples, gradients.dweight, nullptr);
}

}  // namespace cnpd::kernels::cpu
