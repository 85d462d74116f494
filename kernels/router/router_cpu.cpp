#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/router/router.h"

namespace cnpd::kernels::cpu {
namespace {

float dot(const float* x, const float* y, std::int64_t count) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = 0; i < count; ++i) sum += x[i] * y[i];
    return sum;
}

float inverse_root(std::int64_t width) {
    return static_cast<float>(1 / std::sqrt(static_cast<double>(width)));
}

// Classes and experts are few: below this many multiplications another thread does not pay off.
std::int64_t grain(std::int64_t multiplications_of_row) {
    return 16384 / std::max<std::int64_t>(1, multiplications_of_row);
}

// out[r] = sum_s coefficient(r, s) in[s] over rows of `values`. A piece of `in` that stays in the
// cache is read for all rows of `out` before the next one, so memory is read once.
template <class Coefficient>
void combine_rows(std::int64_t rows, std::int64_t terms, std::int64_t values, const float* in,
                  const Coefficient& coefficient, float* out) {
    constexpr std::int64_t kPiece = 256;
    parallel_for(values, 4 * kPiece, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t begin = first; begin < last; begin += kPiece) {
            const std::int64_t width = std::min(kPiece, last - begin);
            for (std::int64_t r = 0; r < rows; ++r) {
                float* const to = out + r * values + begin;
                std::fill_n(to, width, 0.0f);
                for (std::int64_t s = 0; s < terms; ++s) {
                    const float factor = coefficient(r, s);
                    const float* const from = in + s * values + begin;
#pragma omp simd
                    for (std::int64_t i = 0; i < width; ++i) to[i] += factor * from[i];
                }
            }
        }
    });
}

}  // namespace

void router_attention(const AttentionShape& shape, const float* queries, const float* keys,
                      float* attention) {
    const float scale = inverse_root(shape.width);
    parallel_for(shape.classes, grain(shape.experts * shape.width),
                 [&](std::int64_t first, std::int64_t last) {
                     for (std::int64_t y = first; y < last; ++y) {
                         float* const row = attention + y * shape.experts;
                         for (std::int64_t m = 0; m < shape.experts; ++m)
                             row[m] = scale * dot(queries + y * shape.width, keys + m * shape.width,
                                                  shape.width);
                         const float largest = *std::max_element(row, row + shape.experts);
                         float sum = 0;
                         for (std::int64_t m = 0; m < shape.experts; ++m)
                             sum += row[m] = std::exp(row[m] - largest);
                         for (std::int64_t m = 0; m < shape.experts; ++m) row[m] /= sum;
                     }
                 });
}

void router_attention_backward(const AttentionShape& shape, const float* queries, const float* keys,
                               const float* attention, const float* dattention, float* dqueries,
                               float* dkeys) {
    const float scale = inverse_root(shape.width);
    std::vector<float> dscores(shape.classes * shape.experts);
    for (std::int64_t y = 0; y < shape.classes; ++y) {
        const float *a = attention + y * shape.experts, *da = dattention + y * shape.experts;
        const float mean = dot(a, da, shape.experts);
        for (std::int64_t m = 0; m < shape.experts; ++m)
            dscores[y * shape.experts + m] = scale * a[m] * (da[m] - mean);
    }
    combine_rows(
        shape.classes, shape.experts, shape.width, keys,
        [&](std::int64_t y, std::int64_t m) { return dscores[y * shape.experts + m]; }, dqueries);
    combine_rows(
        shape.experts, shape.classes, shape.width, queries,
        [&](std::int64_t m, std::int64_t y) { return dscores[y * shape.experts + m]; }, dkeys);
}

void mix_experts(const MixtureShape& shape, const float* attention, const float* experts,
                 float* mixed) {
    combine_rows(
        shape.classes, shape.experts, shape.values, experts,
        [&](std::int64_t y, std::int64_t m) { return attention[y * shape.experts + m]; }, mixed);
}

void mix_experts_backward(const MixtureShape& shape, const float* attention, const float* dmixed,
                          float* dexperts) {
    combine_rows(
        shape.experts, shape.classes, shape.values, dmixed,
        [&](std::int64_t m, std::int64_t y) { return attention[y * shape.experts + m]; }, dexperts);
}

void mix_experts_backward_attention(const MixtureShape& shape, const float* experts,
                                    const float* dmixed, float* dattention) {
    constexpr std::int64_t kPiece = 4096;  // summed in float, the pieces in double
    parallel_for(shape.classes * shape.experts, grain(shape.values),
                 [&](std::int64_t first, std::int64_t last) {
                     for (std::int64_t at = first; at < last; ++at) {
                         const float* const left = dmixed + at / shape.experts * shape.values;
                         const float* const right = experts + at % shape.experts * shape.values;
                         double sum = 0;
                         for (std::int64_t begin = 0; begin < shape.values; begin += kPiece)
                             sum += dot(left + begin, right + begin,
                                        std::min(kPiece, shape.values - begin));
                         dattention[at] = static_cast<float>(sum);
                     }
                 });
}

}  // namespace cnpd::kernels::cpu
