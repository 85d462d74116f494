// An element is a dot product along k. A block of 4x4 elements is computed at a time: 16 vectors of
// sums, and 8 loads for 16 multiply-adds. The block's rows of b stay in the L1 cache for all rows
// of a.
#include "kernels/gemm/few_rows.h"

#include <algorithm>
#include <type_traits>

#include "kernels/common/simd.h"

namespace cnpd::kernels::few_rows {
namespace {

using simd::Vector;

constexpr int kBlock = 4;

float sum_of(Vector v) {
    float lanes[simd::kWidth];
    simd::store(lanes, v);
    for (int width = simd::kWidth / 2; width > 0; width /= 2)
        for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    return lanes[0];
}

// Rows x Columns elements. Not inlined: each size has one place, and an element the same
// multiply-adds in all of them.
template <int Rows, int Columns>
[[gnu::noinline]] void multiply_block(std::int64_t k, const float* a, const float* b, float* c,
                                      std::int64_t ldc) {
    Vector sums[Rows][Columns] = {};
    const auto step = [&](const auto& load) {
        Vector right[Columns];
        for (int j = 0; j < Columns; ++j) right[j] = load(b + j * k);
        for (int i = 0; i < Rows; ++i) {
            const Vector left = load(a + i * k);
            for (int j = 0; j < Columns; ++j) sums[i][j] += left * right[j];
        }
    };
    std::int64_t d = 0;
    for (; d + simd::kWidth <= k; d += simd::kWidth)
        step([&](const float* row) { return simd::load(row + d); });
    if (d < k) step([&](const float* row) { return simd::load_first(row + d, k - d); });
    for (int i = 0; i < Rows; ++i)
        for (int j = 0; j < Columns; ++j) c[i * ldc + j] = sum_of(sums[i][j]);
}

template <int Columns>
void multiply_columns(std::int64_t m, std::int64_t k, const float* a, const float* b, float* c,
                      std::int64_t ldc) {
    std::int64_t i = 0;
    for (; i + kBlock <= m; i += kBlock)
        multiply_block<kBlock, Columns>(k, a + i * k, b, c + i * ldc, ldc);
    for (; i < m; ++i) multiply_block<1, Columns>(k, a + i * k, b, c + i * ldc, ldc);
}

}  // namespace

void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b,
              float* c, std::int64_t ldc) {
    std::int64_t j = 0;
    for (; j + kBlock <= n; j += kBlock) multiply_columns<kBlock>(m, k, a, b + j * k, c + j, ldc);
    for (; j < n; ++j) multiply_columns<1>(m, k, a, b + j * k, c + j, ldc);
}

std::int64_t columns_of_piece(std::int64_t m, std::int64_t k) {
    constexpr std::int64_t kProducts = 1 << 18;
    const std::int64_t column = std::max<std::int64_t>(m * k, 1);
    return std::max<std::int64_t>(kProducts / column / kBlock, 1) * kBlock;
}

}  // namespace cnpd::kernels::few_rows
