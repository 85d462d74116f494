#include "kernels/elementwise/elementwise.h"

#include <vector>

#include "kernels/common/channel_rows.h"

namespace cnpd::kernels::cpu {
namespace {

// body(i) for every element, in vectors. Outputs may be inputs, because elements do not depend on
// each other.
template <class Body>
void for_each(std::int64_t count, const Body& body) {
    parallel_for(count, kElementGrain, [&](std::int64_t first, std::int64_t last) {
#pragma omp simd
        for (std::int64_t i = first; i < last; ++i) body(i);
    });
}

}  // namespace

void fill(float* y, std::int64_t count, float value) {
    for_each(count, [=](std::int64_t i) { y[i] = value; });
}

void scale(const float* x, std::int64_t count, float alpha, float* y) {
    for_each(count, [=](std::int64_t i) { y[i] = alpha * x[i]; });
}

void scale_by(const float* x, std::int64_t count, const float* alpha, float* y) {
    scale(x, count, *alpha, y);
}

void add(const float* x, const float* y, std::int64_t count, float* z) {
    for_each(count, [=](std::int64_t i) { z[i] = x[i] + y[i]; });
}

void relu_forward(const float* x, std::int64_t count, float* y) {
    for_each(count, [=](std::int64_t i) { y[i] = x[i] <= 0 ? 0 : x[i]; });
}

void relu_backward(const float* dy, const float* y, std::int64_t count, float* dx) {
    for_each(count, [=](std::int64_t i) {
        const float gradient = dy[i];
        dx[i] = y[i] > 0 ? gradient : 0;
    });
}

void sum_rows(const float* x, std::int64_t rows, std::int64_t columns, float* sums) {
    const WideRows wide(rows, columns, kSumWidth);
    const std::int64_t parts = wide.parts();
    std::vector<double> partial(parts * columns, 0.0);
    parallel_for(parts, 1, [&](std::int64_t part, std::int64_t last_part) {
        std::vector<float> chunk(2 * wide.columns());
        for (; part < last_part; ++part) {
            const std::int64_t end = wide.count() * (part + 1) / parts;
            for (std::int64_t row = wide.count() * part / parts; row < end; row += kChunk) {
                std::fill(chunk.begin(), chunk.end(), 0.0f);
                add_terms(
                    wide, row, std::min(row + kChunk, end), {x, nullptr},
                    [x](std::int64_t i, std::int64_t, float& sum, float&) { sum += x[i]; },
                    chunk.data(), chunk.data() + wide.columns());
                for (std::int64_t c = 0; c < wide.columns(); ++c)
                    partial[part * columns + c % columns] += chunk[c];
            }
        }
    });
    for (std::int64_t c = 0; c < columns; ++c) {
        double sum = 0;
        for (std::int64_t part = 0; part < parts; ++part) sum += partial[part * columns + c];
        sums[c] = static_cast<float>(sum);
    }
}

void add_row(const float* x, const float* row, std::int64_t rows, std::int64_t columns, float* y) {
    const WideRows wide(rows, columns, kElementWidth);
    const ChannelValues row_values(row, wide);
    for_each_element(wide, [x, y, r = row_values.data()](std::int64_t i, std::int64_t c) {
        y[i] = x[i] + r[c];
    });
}

void sum_of_squares(const float* x, std::int64_t count, double* result) {
    constexpr std::int64_t kLanes = 16;  // independent sums, to hide the latency of an addition
    const std::int64_t parts = std::clamp<std::int64_t>(count / kElementGrain, 1, kMostParts);
    std::vector<double> partial(parts, 0.0);
    parallel_for(parts, 1, [&](std::int64_t part, std::int64_t last_part) {
        for (; part < last_part; ++part) {
            double lanes[kLanes] = {};
            std::int64_t i = count * part / parts;
            const std::int64_t end = count * (part + 1) / parts;
            for (; i + kLanes <= end; i += kLanes)
#pragma omp simd
                for (std::int64_t lane = 0; lane < kLanes; ++lane) {
                    const double value = x[i + lane];
                    lanes[lane] += value * value;
                }
            for (; i < end; ++i) lanes[0] += static_cast<double>(x[i]) * x[i];
            for (const double lane : lanes) partial[part] += lane;
        }
    });
    *result = 0;
    for (const double sum : partial) *result += sum;
}

void cast(const float* x, std::int64_t count, bfloat16* y) {
    for_each(count, [=](std::int64_t i) { y[i] = bfloat16(x[i]); });
}

void cast(const bfloat16* x, std::int64_t count, float* y) {
    for_each(count, [=](std::int64_t i) { y[i] = x[i]; });
}

void accumulate(const float* x, std::int64_t count, double* sums) {
    for_each(count, [=](std::int64_t i) { sums[i] += x[i]; });
}

void multiply(const float* x, const float* y, std::int64_t count, float* z) {
    for_each(count, [=](std::int64_t i) { z[i] = x[i] * y[i]; });
}

}  // namespace cnpd::kernels::cpu
