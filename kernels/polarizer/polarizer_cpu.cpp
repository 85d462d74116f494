#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/common/parallel.h"
#include "kernels/gemm/gemm.h"
#include "kernels/polarizer/polarizer.h"
#include "kernels/vendor/onednn.h"

namespace cnpd::kernels::cpu {
namespace {

// Positions that are multiplied at once. A map is packed for every product, which takes about as
// long as 20 positions; far more than this do not fit a core's L2 beside the map.
constexpr std::int64_t kBlockRows = 256;

// The samples in the order of their labels, and of their index within a label.
struct Groups {
    std::vector<std::int64_t> order;   // [N] sample indices
    std::vector<std::int64_t> starts;  // [classes + 1] where each label's samples start in `order`
};

Groups group_by_label(const PolarizerShape& shape, const std::int32_t* labels) {
    Groups groups{std::vector<std::int64_t>(shape.n), std::vector<std::int64_t>(shape.classes + 1)};
    if (!labels) {
        std::iota(groups.order.begin(), groups.order.end(), std::int64_t{0});
        std::fill(groups.starts.begin() + 1, groups.starts.end(), shape.n);
        return groups;
    }
    for (std::int64_t n = 0; n < shape.n; ++n) {
        CNPD_CHECK(labels[n] >= 0 && labels[n] < shape.classes,
                   "polarizer: label " + std::to_string(labels[n]) + " has no map");
        ++groups.starts[labels[n] + 1];
    }
    std::partial_sum(groups.starts.begin(), groups.starts.end(), groups.starts.begin());
    std::vector<std::int64_t> next = groups.starts;
    for (std::int64_t n = 0; n < shape.n; ++n) groups.order[next[labels[n]]++] = n;
    return groups;
}

// The last of the samples order[first, last) that lies right behind its predecessors in memory.
std::int64_t consecutive_end(const std::int64_t* order, std::int64_t first, std::int64_t last) {
    std::int64_t end = first + 1;
    while (end < last && order[end] == order[end - 1] + 1) ++end;
    return end;
}

// Calls block(label, first, last) for pieces of order[first, last) that have one label and about
// kBlockRows positions.
template <class Block>
void for_each_block(const PolarizerShape& shape, const Groups& groups, std::int64_t first,
                    std::int64_t last, const Block& block) {
    const std::int64_t samples =
        std::max<std::int64_t>(1, kBlockRows / std::max<std::int64_t>(1, shape.positions));
    for (std::int64_t label = 0; label < shape.classes; ++label) {
        const std::int64_t end = std::min(last, groups.starts[label + 1]);
        for (std::int64_t at = std::max(first, groups.starts[label]); at < end; at += samples)
            block(label, at, std::min(end, at + samples));
    }
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

// For every sample calls finish(sample, product), product [P,C] = source[sample] op(map), where the
// maps [classes,C,C] are transposed or not. The product lies in out[sample] if `in_place`.
template <class Finish>
void multiply_by_maps(const PolarizerShape& shape, const float* source, const std::int32_t* labels,
                      const float* maps, bool transpose, float* out, bool in_place,
                      const Finish& finish) {
    const std::int64_t channels = shape.channels, sample_size = shape.positions * channels;
    if (sample_size == 0 || shape.n == 0) return;
    const Groups groups = group_by_label(shape, labels);
    // A thread touches only the start of its own share of these, so the rest costs no memory.
    const auto gathered = scratch(shape.n * sample_size);
    const auto products = scratch(shape.n * sample_size);
    const auto multiply = [&](std::int64_t label, const float* rows, std::int64_t samples,
                              float* product) {
        gemm({.m = samples * shape.positions,
              .n = channels,
              .k = channels,
              .transpose_b = transpose},
             rows, maps + label * channels * channels, product);
    };
    parallel_for(shape.n, 1, [&](std::int64_t first, std::int64_t last) {
        float* const rows = gathered.get() + first * sample_size;
        float* const product = products.get() + first * sample_size;
        for_each_block(shape, groups, first, last,
                       [&](std::int64_t label, std::int64_t at, std::int64_t end) {
                           const std::int64_t* order = groups.order.data();
                           const bool consecutive = consecutive_end(order, at, end) == end;
                           const float* block_rows = rows;
                           if (consecutive)
                               block_rows = source + order[at] * sample_size;
                           else
                               gather(shape, source, order, at, end, 0, channels, rows);
                           float* const block_product =
                               consecutive && in_place ? out + order[at] * sample_size : product;
                           multiply(label, block_rows, end - at, block_product);
                           for (std::int64_t i = at; i < end; ++i)
                               finish(order[i], label, block_product + (i - at) * sample_size);
                       });
    });
}

}  // namespace

void polarizer_fold(std::int64_t classes, std::int64_t channels,
                    const PolarizerParameters& parameters, float* a, float* b) {
    parallel_for(classes * channels, 64, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
            const float scale =
                parameters.gamma[row] / std::sqrt(parameters.variance[row] + parameters.eps);
            for (std::int64_t i = row * channels; i < (row + 1) * channels; ++i)
                a[i] = scale * parameters.weight[i];
            b[row] = parameters.beta[row] - parameters.mean[row] * scale;
        }
    });
}

void polarizer_fold_backward(std::int64_t classes, std::int64_t channels,
                             const PolarizerParameters& parameters, const float* da,
                             const float* db, float* dweight, float* dgamma, float* dbeta) {
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
            dgamma[row] = (dscale - parameters.mean[row] * db[row]) * inverse_std;
            dbeta[row] = db[row];
        }
    });
}

void polarizer_forward(const PolarizerShape& shape, const float* z, const std::int32_t* labels,
                       const float* weights, bool accumulate, const float* a, const float* b,
                       float* out) {
    const std::int64_t channels = shape.channels, positions = shape.positions;
    multiply_by_maps(shape, z, labels, a, true, out, !accumulate,
                     [&](std::int64_t sample, std::int64_t label, const float* product) {
                         const float weight = weights ? weights[sample] : 1.0f;
                         const float* bias = b + label * channels;
                         for (std::int64_t p = 0; p < positions; ++p) {
                             const float* from = product + p * channels;
                             float* to = out + (sample * positions + p) * channels;
                             // The product may be `to` itself; every element is read before it is
                             // written.
                             if (accumulate) {
#pragma omp simd
                                 for (std::int64_t c = 0; c < channels; ++c)
                                     to[c] += weight * (from[c] + bias[c]);
                             } else {
#pragma omp simd
                                 for (std::int64_t c = 0; c < channels; ++c)
                                     to[c] = weight * (from[c] + bias[c]);
                             }
                         }
                     });
}

void polarizer_dgrad(const PolarizerShape& shape, const float* dout, const std::int32_t* labels,
                     const float* a, float* dz) {
    const std::int64_t sample_size = shape.positions * shape.channels;
    multiply_by_maps(shape, dout, labels, a, false, dz, true,
                     [&](std::int64_t sample, std::int64_t, const float* product) {
                         float* to = dz + sample * sample_size;
                         if (product != to) std::copy_n(product, sample_size, to);
                     });
}

// Threads share the rows of every da evenly, however unequal the classes are.
void polarizer_wgrad(const PolarizerShape& shape, const float* z, const float* dout,
                     const std::int32_t* labels, float* da, float* db) {
    const std::int64_t channels = shape.channels;
    const Groups groups = group_by_label(shape, labels);
    const std::int64_t block_size =
        std::max(kBlockRows, shape.positions) * channels;  // the most that for_each_block asks for
    parallel_for(channels, 16, [&](std::int64_t first, std::int64_t last) {
        const std::int64_t width = last - first;
        const auto rows_z = scratch(block_size), rows_dout = scratch(block_size);
        for (std::int64_t label = 0; label < shape.classes; ++label)
            if (groups.starts[label] == groups.starts[label + 1]) {
                std::fill_n(da + (label * channels + first) * channels, width * channels, 0.0f);
                std::fill_n(db + label * channels + first, width, 0.0f);
            }
        for_each_block(
            shape, groups, 0, shape.n, [&](std::int64_t label, std::int64_t at, std::int64_t end) {
                const std::int64_t* order = groups.order.data();
                const std::int64_t rows = (end - at) * shape.positions;
                const float* block_z = z + order[at] * shape.positions * channels;
                const float* block_dout = dout + order[at] * shape.positions * channels + first;
                std::int64_t dout_stride = channels;
                if (consecutive_end(order, at, end) != end) {
                    gather(shape, z, order, at, end, 0, channels, rows_z.get());
                    gather(shape, dout, order, at, end, first, width, rows_dout.get());
                    block_z = rows_z.get();
                    block_dout = rows_dout.get();
                    dout_stride = width;
                }
                const bool start = at == groups.starts[label];
                onednn::sgemm({.transpose_a = true,
                               .m = width,
                               .n = channels,
                               .k = rows,
                               .a = block_dout,
                               .lda = dout_stride,
                               .b = block_z,
                               .ldb = channels,
                               .beta = start ? 0.0f : 1.0f,
                               .c = da + (label * channels + first) * channels,
                               .ldc = channels});
                float* sums = db + label * channels + first;
                if (start) std::fill_n(sums, width, 0.0f);
                for (std::int64_t row = 0; row < rows; ++row)
                    for (std::int64_t i = 0; i < width; ++i)
                        sums[i] += block_dout[row * dout_stride + i];
            });
    });
}

}  // namespace cnpd::kernels::cpu
