// The inner loop of the Winograd convolution, private to winograd*.cpp: a block of 16x16 sums kept
// in registers.
//
// Matrices are stored in panels of 16 columns: element (row, column) of a [rows, columns] matrix is
// at panel[column / 16][row][column % 16]. For any shape of the layer, a block then reads
// contiguous memory, one cache line per row; a plain row-major matrix with 512 columns would map
// all its rows to four sets of the L1 cache.
//
// With AVX2 a panel is two registers wide and a block is computed as 6, 5 and 5 rows: 12 sums stay
// in 12 of the 16 registers, and a step of 12 multiply-adds (6 cycles on two ports) loads two
// vectors and six broadcast elements (4 cycles), so arithmetic is the limit.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/common/simd.h"

namespace cnpd::kernels::winograd {

inline constexpr int kPanel = 16;
inline constexpr int kVectors = kPanel / simd::kWidth;
inline constexpr int kMaxRows = simd::kWidth == 16 ? 16 : simd::kWidth == 8 ? 6 : 2;

// Layout of a block's left operand in memory. In the forward pass its rows are tiles and the sum
// runs over channels: consecutive panels, `panel_stride` apart. In wgrad its rows are channels of
// one panel and the sum runs over tiles.
enum class Left { rows, columns };

// c [Rows,16] (+)= left [Rows,depth] right [depth,16].
template <int Rows, Left left>
inline void multiply_rows(const float* a, std::int64_t panel_stride, const float* b,
                          std::int64_t depth, bool accumulate, float* c) {
    using simd::Vector;
    Vector sums[Rows][kVectors];
    // Unrolled, or the compiler calls memset on a copy of the sums in memory.
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < kVectors; ++v)
            sums[r][v] = accumulate ? simd::load(c + r * kPanel + v * simd::kWidth) : Vector{};
    const auto step = [&](const float* left_column) {
        Vector right[kVectors];
        for (int v = 0; v < kVectors; ++v) right[v] = simd::load(b + v * simd::kWidth);
        for (int r = 0; r < Rows; ++r) {
            const float element = left_column[left == Left::rows ? r * kPanel : r];
            for (int v = 0; v < kVectors; ++v) sums[r][v] += element * right[v];
        }
        b += kPanel;
    };
    if constexpr (left == Left::columns) {
#pragma GCC unroll 4
        for (std::int64_t d = 0; d < depth; ++d) step(a + d * kPanel);
    } else {
        for (; depth >= kPanel; depth -= kPanel, a += panel_stride) {
#pragma GCC unroll 16
            for (int d = 0; d < kPanel; ++d) step(a + d);
        }
        for (std::int64_t d = 0; d < depth; ++d) step(a + d);
    }
    for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < kVectors; ++v)
            simd::store(c + r * kPanel + v * simd::kWidth, sums[r][v]);
}

// c [rows,16] (+)= left [rows,depth] right [depth,16] for up to 16 rows; c's rows are 16 apart.
template <Left left>
inline void multiply_block(int rows, const float* a, std::int64_t panel_stride, const float* b,
                           std::int64_t depth, bool accumulate, float* c) {
    // The next Rows rows.
    const auto multiply = [&]<int Rows>(std::integral_constant<int, Rows>) {
        multiply_rows<Rows, left>(a, panel_stride, b, depth, accumulate, c);
        a += left == Left::rows ? Rows * kPanel : Rows;
        c += Rows * kPanel;
        rows -= Rows;
    };
    if constexpr (kMaxRows == 16) {
        while (rows >= 16) multiply(std::integral_constant<int, 16>());
        while (rows >= 8) multiply(std::integral_constant<int, 8>());
        while (rows >= 4) multiply(std::integral_constant<int, 4>());
    }
    if constexpr (kMaxRows == 6) {
        while (rows >= 6 && rows % 5 != 0) multiply(std::integral_constant<int, 6>());
        while (rows >= 5) multiply(std::integral_constant<int, 5>());
    }
    while (rows >= 2) multiply(std::integral_constant<int, 2>());
    if (rows == 1) multiply(std::integral_constant<int, 1>());
}

}  // namespace cnpd::kernels::winograd
