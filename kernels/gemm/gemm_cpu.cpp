#include <algorithm>

#include "kernels/common/parallel.h"
#include "kernels/gemm/few_rows.h"
#include "kernels/gemm/gemm.h"
#include "kernels/vendor/onednn.h"

namespace cnpd::kernels::cpu {
namespace {

// The longer side of c is cut, by sizes alone, at multiples of a vector; sums over k are not cut.
struct Cut {
    bool rows;
    std::int64_t length, pieces;

    std::int64_t begin(std::int64_t piece) const {
        constexpr std::int64_t kVector = 16;
        return piece == pieces ? length : length * piece / pieces / kVector * kVector;
    }
};

Cut cut_by_size(const GemmShape& shape) {
    constexpr std::int64_t kMost = 16, kShortest = 32, kFewestProducts = 1 << 20;
    const std::int64_t length = std::max(shape.m, shape.n);
    const std::int64_t products = shape.m * shape.n * shape.k;
    return {shape.m >= shape.n, length,
            std::clamp<std::int64_t>(std::min(products / kFewestProducts, length / kShortest), 1,
                                     kMost)};
}

// By dot products along k, if both operands are contiguous along k.
void multiply_few_rows(const GemmShape& shape, const float* a, const float* b, float* c) {
    const std::int64_t columns = few_rows::columns_of_piece(shape.m, shape.k);
    parallel_for((shape.n + columns - 1) / columns, 1, [&](std::int64_t first, std::int64_t last) {
        const std::int64_t column = first * columns, end = std::min(last * columns, shape.n);
        few_rows::multiply(shape.m, end - column, shape.k, a, b + column * shape.k, c + column,
                           shape.n);
    });
}

}  // namespace

void gemm(const GemmShape& shape, const float* a, const float* b, float* c) {
    if (shape.m == 0 || shape.n == 0) return;
    if (shape.k == 0) {
        std::transform(c, c + shape.m * shape.n, c,
                       [&](float value) { return shape.beta == 0 ? 0.f : shape.beta * value; });
        return;
    }
    if (shape.m <= few_rows::kMost && !shape.transpose_a && shape.transpose_b && shape.beta == 0)
        return multiply_few_rows(shape, a, b, c);
    const Cut cut = cut_by_size(shape);
    for_each_piece(cut.pieces, [&](std::int64_t piece, int) {
        const std::int64_t first = cut.begin(piece), size = cut.begin(piece + 1) - first;
        const std::int64_t row = cut.rows ? first : 0, column = cut.rows ? 0 : first;
        onednn::sgemm({.transpose_a = shape.transpose_a,
                       .transpose_b = shape.transpose_b,
                       .m = cut.rows ? size : shape.m,
                       .n = cut.rows ? shape.n : size,
                       .k = shape.k,
                       .a = a + (shape.transpose_a ? row : row * shape.k),
                       .lda = shape.transpose_a ? shape.m : shape.k,
                       .b = b + (shape.transpose_b ? column * shape.k : column),
                       .ldb = shape.transpose_b ? shape.k : shape.n,
                       .beta = shape.beta,
                       .c = c + row * shape.n + column,
                       .ldc = shape.n});
    });
}

}  // namespace cnpd::kernels::cpu
