#include "kernels/batch_norm/batch_norm.h"

#include <vector>

#include "kernels/common/channel_rows.h"

namespace cnpd::kernels::cpu {
namespace {

// Mean and sum of squared deviations of the rows seen so far, for each channel.
struct Moments {
    explicit Moments(std::int64_t channels) : mean(channels, 0.0), squares(channels, 0.0) {}
    double rows = 0;
    std::vector<double> mean, squares;

    // Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm" (1979).
    void merge(std::int64_t c, double other_rows, double other_mean, double other_squares) {
        const double share = other_rows / (rows + other_rows);
        const double difference = other_mean - mean[c];
        mean[c] += difference * share;
        squares[c] += other_squares + difference * difference * rows * share;
    }
};

// Offset that is subtracted from the first chunk: the mean of a few rows, since a single row might
// be an outlier.
std::vector<double> first_center(const float* x, const WideRows& rows, std::int64_t first,
                                 std::int64_t last) {
    const std::int64_t begin = first * rows.columns();
    const std::int64_t end = std::min(std::min(first + 16, last) * rows.columns(), rows.elements());
    const double weight = static_cast<double>(rows.channels()) / static_cast<double>(end - begin);
    std::vector<double> center(rows.channels(), 0.0);
    for (std::int64_t i = begin; i < end; i += rows.channels())
        for (std::int64_t c = 0; c < rows.channels(); ++c) center[c] += weight * x[i + c];
    return center;
}

// Moments of the wide rows [first, last). Each chunk sums deviations from the mean so far. They are
// small compared with the data for any mean, so float is accurate enough.
void add_moments(const float* x, const WideRows& rows, std::int64_t first, std::int64_t last,
                 Moments& moments) {
    const std::int64_t columns = rows.columns(), channels = rows.channels();
    std::vector<float> center(columns), sums(2 * columns);
    std::vector<double> sum(channels), squares(channels);
    moments.mean = first_center(x, rows, first, last);  // has no weight while rows is 0
    for (std::int64_t row = first; row < last; row += kChunk) {
        const std::int64_t end = std::min(row + kChunk, last);
        for (std::int64_t c = 0; c < columns; ++c)
            center[c] = static_cast<float>(moments.mean[c % channels]);
        std::fill(sums.begin(), sums.end(), 0.0f);
        add_terms(
            rows, row, end, {x, nullptr},
            [x, m = center.data()](std::int64_t i, std::int64_t c, float& s, float& t) {
                const float deviation = x[i] - m[c];
                s += deviation;
                t += deviation * deviation;
            },
            sums.data(), sums.data() + columns);
        std::fill(sum.begin(), sum.end(), 0.0);
        std::fill(squares.begin(), squares.end(), 0.0);
        for (std::int64_t c = 0; c < columns; ++c) {
            sum[c % channels] += sums[c];
            squares[c % channels] += sums[columns + c];
        }
        const double count = static_cast<double>(
            (std::min(end * columns, rows.elements()) - row * columns) / channels);
        for (std::int64_t c = 0; c < channels; ++c)
            moments.merge(c, count, center[c] + sum[c] / count,
                          std::max(squares[c] - sum[c] * sum[c] / count, 0.0));
        moments.rows += count;
    }
}

// The gradient that passes the ReLU.
template <bool kRelu>
inline float open_gradient(float dy, float x, float scale, float shift) {
    if constexpr (kRelu)
        return x * scale + shift > 0 ? dy : 0;
    else
        return dy;
}

template <bool kRelu>
void reduce_part(const float* dy, const float* x, const WideRows& rows, std::int64_t first,
                 std::int64_t last, const float* mean, const float* scale, const float* shift,
                 double* sum_g, double* sum_gx) {
    const std::int64_t columns = rows.columns(), channels = rows.channels();
    std::vector<float> sums(2 * columns);
    for (std::int64_t row = first; row < last; row += kChunk) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        add_terms(
            rows, row, std::min(row + kChunk, last), {x, dy},
            [=](std::int64_t i, std::int64_t c, float& s, float& t) {
                const float value = x[i];
                const float g =
                    open_gradient<kRelu>(dy[i], value, kRelu ? scale[c] : 0, kRelu ? shift[c] : 0);
                s += g;
                t += g * (value - mean[c]);
            },
            sums.data(), sums.data() + columns);
        for (std::int64_t c = 0; c < columns; ++c) {
            sum_g[c % channels] += sums[c];
            sum_gx[c % channels] += sums[columns + c];
        }
    }
}

struct BackwardInput {
    const float *dy, *x, *scale, *shift, *a, *b, *c, *add;
    float* dx;
};

template <bool kRelu, bool kCentered, bool kAdd>
void backward_input(const WideRows& rows, const BackwardInput& args) {
    for_each_element(rows, [=](std::int64_t i, std::int64_t k) {
        const float value = kRelu || kCentered ? args.x[i] : 0;
        const float g = open_gradient<kRelu>(args.dy[i], value, kRelu ? args.scale[k] : 0,
                                             kRelu ? args.shift[k] : 0);
        float result = args.a[k] * g;
        if constexpr (kCentered) result += args.b[k] * value + args.c[k];
        if constexpr (kAdd) result += args.add[i];
        args.dx[i] = result;
    });
}

template <bool kRelu, bool kCentered>
void backward_input(const WideRows& rows, const BackwardInput& args) {
    if (args.add)
        backward_input<kRelu, kCentered, true>(rows, args);
    else
        backward_input<kRelu, kCentered, false>(rows, args);
}

}  // namespace

void batch_norm_statistics(const float* x, std::int64_t rows, std::int64_t channels, float* mean,
                           float* variance) {
    const WideRows wide(rows, channels, kSumWidth);
    const std::int64_t parts = wide.parts();
    std::vector<Moments> partial(parts, Moments(channels));
    parallel_for(parts, 1, [&](std::int64_t part, std::int64_t last_part) {
        for (; part < last_part; ++part)
            add_moments(x, wide, wide.count() * part / parts, wide.count() * (part + 1) / parts,
                        partial[part]);
    });
    Moments& total = partial[0];
    for (std::int64_t part = 1; part < parts; ++part) {
        for (std::int64_t c = 0; c < channels; ++c)
            total.merge(c, partial[part].rows, partial[part].mean[c], partial[part].squares[c]);
        total.rows += partial[part].rows;
    }
    for (std::int64_t c = 0; c < channels; ++c) {
        mean[c] = static_cast<float>(total.mean[c]);
        variance[c] = static_cast<float>(total.squares[c] / total.rows);
    }
}

void batch_norm_apply(const float* x, std::int64_t rows, std::int64_t channels, const float* scale,
                      const float* shift, bool relu, float* y) {
    const WideRows wide(rows, channels, kElementWidth);
    const ChannelValues scales(scale, wide), shifts(shift, wide);
    if (relu)
        for_each_element(wide,
                         [=, a = scales.data(), b = shifts.data()](std::int64_t i, std::int64_t c) {
                             const float value = x[i] * a[c] + b[c];
                             y[i] = value <= 0 ? 0 : value;
                         });
    else
        for_each_element(wide, [=, a = scales.data(), b = shifts.data()](
                                   std::int64_t i, std::int64_t c) { y[i] = x[i] * a[c] + b[c]; });
}

void batch_norm_backward_reduce(const float* dy, const float* x, std::int64_t rows,
                                std::int64_t channels, const float* mean, const float* scale,
                                const float* shift, bool relu, float* sum_g, float* sum_gx) {
    const WideRows wide(rows, channels, kSumWidth);
    const ChannelValues means(mean, wide), scales(relu ? scale : nullptr, wide),
        shifts(relu ? shift : nullptr, wide);
    const std::int64_t parts = wide.parts();
    std::vector<double> partial(2 * parts * channels, 0.0);  // [parts,2,C]
    parallel_for(parts, 1, [&](std::int64_t part, std::int64_t last_part) {
        for (; part < last_part; ++part) {
            double* sums = partial.data() + 2 * part * channels;
            (relu ? reduce_part<true>
                  : reduce_part<false>)(dy, x, wide, wide.count() * part / parts,
                                        wide.count() * (part + 1) / parts, means.data(),
                                        scales.data(), shifts.data(), sums, sums + channels);
        }
    });
    for (std::int64_t c = 0; c < channels; ++c) {
        double g = 0, gx = 0;
        for (std::int64_t part = 0; part < parts; ++part) {
            g += partial[2 * part * channels + c];
            gx += partial[(2 * part + 1) * channels + c];
        }
        sum_g[c] = static_cast<float>(g);
        sum_gx[c] = static_cast<float>(gx);
    }
}

void batch_norm_backward_input(const float* dy, const float* x, std::int64_t rows,
                               std::int64_t channels, const float* scale, const float* shift,
                               bool relu, const float* a, const float* b, const float* c,
                               const float* add, float* dx) {
    const WideRows wide(rows, channels, kElementWidth);
    const ChannelValues scales(relu ? scale : nullptr, wide), shifts(relu ? shift : nullptr, wide),
        as(a, wide), bs(b, wide), cs(c, wide);
    const BackwardInput args{dy,  x, scales.data(), shifts.data(), as.data(), bs.data(), cs.data(),
                             add, dx};
    if (relu)
        (b ? backward_input<true, true> : backward_input<true, false>)(wide, args);
    else
        (b ? backward_input<false, true> : backward_input<false, false>)(wide, args);
}

}  // namespace cnpd::kernels::cpu
