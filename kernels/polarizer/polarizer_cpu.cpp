#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/common/parallel.h"
#include "kernels/gemm/few_rows.h"
#include "kernels/polarizer/polarizer.h"
#include "kernels/vendor/onednn.h"

namespace cnpd::kernels::cpu {
namespace {

// Positions that are multiplied at once. A map is packed for every product, which takes about as
// long as 20 positions. Far more positions do not fit a core's L2 cache together with the map.
constexpr std::int64_t kBlockRows = 256;

// The samples in the order of their labels, and of their index within a label.
struct Groups {
    std::vector<std::int64_t> order;   // [N] sample indices
    std::vector<std::int64_t> starts;  // [classes + 1] where each label's samples start in `order`
};

std::int64_t checked_label(const PolarizerShape& shape, std::int32_t label) {
    CNPD_CHECK(label >= 0 && label < shape.classes,
               "polarizer: label " + std::to_string(label) + " has no map");
    return label;
}

Groups group_by_label(const PolarizerShape& shape, const std::int32_t* labels) {
    Groups groups{std::vector<std::int64_t>(shape.n), std::vector<std::int64_t>(shape.classes + 1)};
    if (!labels) {
        std::iota(groups.order.begin(), groups.order.end(), std::int64_t{0});
        std::fill(groups.starts.begin() + 1, groups.starts.end(), shape.n);
        return groups;
    }
    for (std::int64_t n = 0; n < shape.n; ++n) ++groups.starts[checked_label(shape, labels[n]) + 1];
    std::partial_sum(groups.starts.begin(), groups.starts.end(), groups.starts.begin());
    std::vector<std::int64_t> next = groups.starts;
    for (std::int64_t n = 0; n < shape.n; ++n) groups.order[next[labels[n]]++] = n;
    return groups;
}

// The last of the samples order[first, last) that directly follows its predecessors in memory.
std::int64_t consecutive_end(const std::int64_t* order, std::int64_t first, std::int64_t last) {
    std::int64_t end = first + 1;
    while (end < last && order[end] == order[end - 1] + 1) ++end;
    return end;
}

// Samples order[first, last) of one label.
struct Block {
    std::int64_t label, first, last;
};

// The most samples in a block, by sizes alone: a product's bits may depend on its number of rows.
std::int64_t block_samples(const PolarizerShape& shape) {
    constexpr std::int64_t kBlocks = 8, kFewestRows = 64;
    const std::int64_t rows =
        std::clamp(shape.n * shape.positions / kBlocks, kFewestRows, kBlockRows);
    return std::max<std::int64_t>(1, rows / std::max<std::int64_t>(1, shape.positions));
}

std::vector<Block> blocks_of(const PolarizerShape& shape, const Groups& groups) {
    const std::int64_t samples = block_samples(shape);
    std::vector<Block> blocks;
    for (std::int64_t label = 0; label < shape.classes; ++label) {
        const std::int64_t end = groups.starts[label + 1];
        for (std::int64_t at = groups.starts[label]; at < end; at += samples)
            blocks.push_back({label, at, std::min(end, at + samples)});
    }
    return blocks;
}

std::unique_ptr<float[]> scratch(std::int64_t count) {
    return std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(count));
}

// rows [samples,P,width], the given columns of samples order[first, last) of `source` [N,P,C].
void gather(const PolarizerShape& shape, const float* source, const std::int64_t* order,
            std::int64_t first, std::int64_t last, std::int64_t column, std::int64_t width,
            float* rows) {
    for (std::int64_t at = first; at < last; ++at)
        for (std::int64_t p = 0; p < shape.positions; ++p, rows += width)
            std::copy_n(source + (order[at] * shape.positions + p) * shape.channels + column, width,
                        rows);
}

// Calls finish(sample, product) for every sample, product [P,C] = source[sample] op(map), where the
// maps [classes,C,C] are transposed or not. The product is in out[sample] if `in_place`.
template <class Finish>
void multiply_by_maps(const PolarizerShape& shape, const float* source, const std::int32_t* labels,
                      const float* maps, bool transpose, float* out, bool in_place,
                      const Finish& finish) {
    const std::int64_t channels = shape.channels, sample_size = shape.positions * channels;
    if (sample_size == 0 || shape.n == 0) return;
    const Groups groups = group_by_label(shape, labels);
    const std::vector<Block> blocks = blocks_of(shape, groups);
    const auto pieces = static_cast<std::int64_t>(blocks.size());
    const std::int64_t block_size = block_samples(shape) * sample_size;
    const auto gathered = scratch(team_size(pieces) * block_size);
    const auto products = scratch(team_size(pieces) * block_size);
    for_each_piece(pieces, [&](std::int64_t piece, int thread) {
        const auto [label, first, last] = blocks[piece];
        const std::int64_t* order = groups.order.data();
        const bool consecutive = consecutive_end(order, first, last) == last;
        const float* rows = source + order[first] * sample_size;
        if (!consecutive) {
            float* const room = gathered.get() + thread * block_size;
            gather(shape, source, order, first, last, 0, channels, room);
            rows = room;
        }
        float* const product = consecutive && in_place ? out + order[first] * sample_size
                                                       : products.get() + thread * block_size;
        const float* const map = maps + label * channels * channels;
        const std::int64_t count = (last - first) * shape.positions;
        if (transpose && count <= few_rows::kMost)
            few_rows::multiply(count, channels, channels, rows, map, product, channels);
        else
            onednn::sgemm({.transpose_b = transpose,
                           .m = count,
                           .n = channels,
                           .k = channels,
                           .a = rows,
                           .lda = channels,
                           .b = map,
                           .ldb = channels,
                           .c = product,
                           .ldc = channels});
        for (std::int64_t i = first; i < last; ++i)
            finish(order[i], label, product + (i - first) * sample_size);
    });
}

}  // namespace

void polarizer_fold(std::int64_t classes, std::int64_t channels,
                    const PolarizerParameters& parameters, float* a, float* transposed, float* b) {
    parallel_for(classes * channels, 64, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
            const float scale =
                parameters.gamma[row] / std::sqrt(parameters.variance[row] + parameters.eps);
            for (std::int64_t i = row * channels; i < (row + 1) * channels; ++i)
                a[i] = scale * parameters.weight[i];
            if (b) b[row] = parameters.beta[row] - parameters.mean[row] * scale;
        }
    });
    if (!transposed) return;
    parallel_for(classes * channels, 64, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
            const float* const map = a + row / channels * channels * channels;
            for (std::int64_t i = 0; i < channels; ++i)
                transposed[row * channels + i] = map[i * channels + row % channels];
        }
    });
}

void polarizer_fold_backward(std::int64_t classes, std::int64_t channels,
                             const PolarizerParameters& parameters, const float* da, float* dweight,
                             float* dgamma) {
    parallel_for(classes * channels, 64, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
            const float inverse_std = 1 / std::sqrt(parameters.variance[row] + parameters.eps);
            const float scale = parameters.gamma[row] * inverse_std;
            float dscale = 0;
#pragma omp simd reduction(+ : dscale)
            for (std::int64_t i = row * channels; i < (row + 1) * channels; ++i) {
                dscale += da[i] * parameters.weight[i];
                dweight[i] = scale * da[i];
            }
            dgamma[row] = dscale * inverse_std;
        }
    });
}

void polarizer_shift_backward(std::int64_t count, const PolarizerParameters& parameters,
                              const float* db, float* dgamma) {
    for (std::int64_t i = 0; i < count; ++i)
        dgamma[i] =
            -parameters.mean[i] * db[i] / std::sqrt(parameters.variance[i] + parameters.eps);
}

namespace {

// A term of a mixture: with `weights` [N] the result is multiplied by the sample's weight; with
// accumulate it is added to `out`.
struct Term {
    const float* weights = nullptr;
    bool accumulate = false;
};

// to [P,C] (+)= weight * (from + bias) for columns [first, last). `from` may be `to`: every element
// is read before it is written.
void add_bias(const PolarizerShape& shape, const float* from, const float* bias, float weight,
              bool accumulate, std::int64_t first, std::int64_t last, float* to) {
    for (std::int64_t p = 0; p < shape.positions; ++p, from += shape.channels, to += shape.channels)
        if (accumulate) {
#pragma omp simd
            for (std::int64_t c = first; c < last; ++c) to[c] += weight * (from[c] + bias[c]);
        } else {
#pragma omp simd
            for (std::int64_t c = first; c < last; ++c) to[c] = weight * (from[c] + bias[c]);
        }
}

// A single sample of few positions: the threads share its columns.
void apply_map(const PolarizerShape& shape, const float* z, const std::int32_t* labels,
               const PolarizerMaps<float>& maps, const Term& term, float* out) {
    const std::int64_t channels = shape.channels,
                       label = labels ? checked_label(shape, labels[0]) : 0;
    const std::int64_t columns = few_rows::columns_of_piece(shape.positions, channels);
    const auto products = scratch(term.accumulate ? shape.positions * channels : 0);
    float* const product = term.accumulate ? products.get() : out;
    parallel_for(
        (channels + columns - 1) / columns, 1, [&](std::int64_t piece, std::int64_t last_piece) {
            const std::int64_t first = piece * columns,
                               last = std::min(last_piece * columns, channels);
            few_rows::multiply(shape.positions, last - first, channels, z,
                               maps.a + (label * channels + first) * channels, product + first,
                               channels);
            add_bias(shape, product, maps.b + label * channels,
                     term.weights ? term.weights[0] : 1.0f, term.accumulate, first, last, out);
        });
}

void apply_maps(const PolarizerShape& shape, const float* z, const std::int32_t* labels,
                const PolarizerMaps<float>& maps, const Term& term, float* out) {
    const std::int64_t channels = shape.channels;
    if (shape.n == 1 && shape.positions <= few_rows::kMost)
        return apply_map(shape, z, labels, maps, term, out);
    multiply_by_maps(shape, z, labels, maps.a, true, out, !term.accumulate,
                     [&](std::int64_t sample, std::int64_t label, const float* product) {
                         add_bias(shape, product, maps.b + label * channels,
                                  term.weights ? term.weights[sample] : 1.0f, term.accumulate, 0,
                                  channels, out + sample * shape.positions * channels);
                     });
}

}  // namespace

void polarizer_forward(const PolarizerShape& shape, const float* z, const PolarizerSamples& samples,
                       const PolarizerMaps<float>& maps, float* out) {
    apply_maps(shape, z, samples.labels, maps, {}, out);
}

void polarizer_mixture(const PolarizerShape& shape, const float* z, const PolarizerMixture& mixture,
                       const PolarizerMaps<float>& maps, float* out) {
    for (std::int64_t j = 0; j < mixture.terms; ++j)
        apply_maps(shape, z, mixture.labels + j * shape.n, maps,
                   {.weights = mixture.weights + j * shape.n, .accumulate = j > 0}, out);
}

void polarizer_dgrad(const PolarizerShape& shape, const float* dout,
                     const PolarizerSamples& samples, const PolarizerMaps<float>& maps, float* dz) {
    const std::int64_t sample_size = shape.positions * shape.channels;
    multiply_by_maps(shape, dout, samples.labels, maps.a, false, dz, true,
                     [&](std::int64_t sample, std::int64_t, const float* product) {
                         float* to = dz + sample * sample_size;
                         if (product != to) std::copy_n(product, sample_size, to);
                     });
}

namespace {

// The rows [first, first + width) of one class's da and db.
struct GradientRows {
    std::int64_t label, first, width;
    float *da, *db;  // of the class; db or null
};

// Sums over the class's samples, block by block in order. `rows_z` and `rows_dout` have space for a
// block.
void add_up(const PolarizerShape& shape, const float* z, const float* dout, const Groups& groups,
            const GradientRows& to, float* rows_z, float* rows_dout) {
    const std::int64_t channels = shape.channels, samples = block_samples(shape);
    const std::int64_t* order = groups.order.data();
    const std::int64_t begin = groups.starts[to.label], end = groups.starts[to.label + 1];
    float* const sums = to.db ? to.db + to.first : nullptr;
    if (sums) std::fill_n(sums, to.width, 0.0f);
    if (begin == end) std::fill_n(to.da + to.first * channels, to.width * channels, 0.0f);
    for (std::int64_t at = begin; at < end; at += samples) {
        const std::int64_t last = std::min(end, at + samples);
        const std::int64_t rows = (last - at) * shape.positions;
        const float* block_z = z + order[at] * shape.positions * channels;
        const float* block_dout = dout + order[at] * shape.positions * channels + to.first;
        std::int64_t dout_stride = channels;
        if (consecutive_end(order, at, last) != last) {
            gather(shape, z, order, at, last, 0, channels, rows_z);
            gather(shape, dout, order, at, last, to.first, to.width, rows_dout);
            block_z = rows_z;
            block_dout = rows_dout;
            dout_stride = to.width;
        }
        onednn::sgemm({.transpose_a = true,
                       .m = to.width,
                       .n = channels,
                       .k = rows,
                       .a = block_dout,
                       .lda = dout_stride,
                       .b = block_z,
                       .ldb = channels,
                       .beta = at == begin ? 0.0f : 1.0f,
                       .c = to.da + to.first * channels,
                       .ldc = channels});
        for (std::int64_t row = 0; sums && row < rows; ++row)
            for (std::int64_t i = 0; i < to.width; ++i)
                sums[i] += block_dout[row * dout_stride + i];
    }
}

}  // namespace

// Cut by classes and by rows of each da. A class's samples are gathered once for each cut of its
// rows, so there are two cuts, or more if there are few classes.
void polarizer_wgrad(const PolarizerShape& shape, const float* z, const float* dout,
                     const PolarizerSamples& samples, float* da, float* db) {
    constexpr std::int64_t kPieces = 8, kVector = 16;
    const std::int64_t channels = shape.channels;
    if (channels == 0 || shape.classes == 0) return;
    const Groups groups = group_by_label(shape, samples.labels);
    const std::int64_t wanted = std::max<std::int64_t>(kPieces / shape.classes, 2);
    const std::int64_t share = (channels + wanted - 1) / wanted;
    const std::int64_t width = std::max((share + kVector - 1) / kVector, std::int64_t{2}) * kVector;
    const std::int64_t cuts = (channels + width - 1) / width, pieces = shape.classes * cuts;
    const std::int64_t block_size = block_samples(shape) * shape.positions * channels;
    const auto rows_z = scratch(team_size(pieces) * block_size);
    const auto rows_dout = scratch(team_size(pieces) * block_size);
    for_each_piece(pieces, [&](std::int64_t piece, int thread) {
        const std::int64_t label = piece / cuts, first = piece % cuts * width;
        add_up(shape, z, dout, groups,
               {label, first, std::min(width, channels - first), da + label * channels * channels,
                db ? db + label * channels : nullptr},
               rows_z.get() + thread * block_size, rows_dout.get() + thread * block_size);
    });
}

}  // namespace cnpd::kernels::cpu
