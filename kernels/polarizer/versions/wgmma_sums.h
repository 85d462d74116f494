// A warpgroup's sums of versions 8 to 10: 64 or 128 rows by 128 channels of the tile, multiplied
// with wgmma from chunks in shared memory, stored directly from registers. For .cu files.
#pragma once

#include "kernels/common/hopper.h"
#include "kernels/common/vector_access.h"
#include "kernels/polarizer/class_tiles.h"
#include "kernels/polarizer/versions/hopper_operands.h"

namespace cnpd::kernels::cuda {

inline constexpr int kGroupRows = 64;  // of a product

// sum[half] = products of rows 64 half ... of the features' chunk with the map's (+ sum): one group
// of products.
template <int Halves>
__device__ __forceinline__ void start_products(float (&sum)[Halves][64],
                                               const unsigned char* features,
                                               const unsigned char* map, bool add) {
    const auto of_rows = hopper::operand(hopper::shared_address(features));
    const auto of_map = hopper::operand(hopper::shared_address(map));
    hopper::begin_products();
#pragma unroll
    for (int k = 0; k < hopper_tiles::kDepth / 16; ++k)
#pragma unroll
        for (int half = 0; half < Halves; ++half)
            // Descriptors count in units of 16 bytes: 16 k are 2, 64 lines 512.
            hopper::multiply(sum[half], of_rows + 2 * k + 512 * half, of_map + 2 * k, add || k > 0);
    hopper::commit_products();
}

// The rows of a tile whose sums a thread has: 8 apart within a product, 64 from one product to the
// next.
template <int Halves>
struct MyRows {
    int place[2 * Halves];  // negative: the tile has no such row

    // The warpgroup's rows begin at this line of the tile.
    __device__ MyRows(const TileRows& rows, int line0) {
        const int in_group = static_cast<int>(threadIdx.x) % kWarpgroup;
        const int line = line0 + in_group / 32 * 16 + in_group % 32 / 4;
#pragma unroll
        for (int i = 0; i < 2 * Halves; ++i)
            place[i] = rows.place_of_line(line + i / 2 * kGroupRows + i % 2 * 8);
    }
};

// Epilogue: from sums to results. `bias` (or null) and `out` begin at the tile's channels.
template <int Halves>
__device__ __forceinline__ void finish_tile(const float (&sum)[Halves][64],
                                            const MyRows<Halves>& rows, const float* bias,
                                            int channels, bfloat16* out) {
    const int q = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
    for (int group = 0; group < 4; ++group) {
        const int c = 32 * group + 8 * q;
        const auto of_bias = load_if<8>(bias, c);
#pragma unroll
        for (int i = 0; i < 2 * Halves; ++i) {
            if (rows.place[i] < 0) continue;
            Pack<bfloat16, 8> result;
#pragma unroll
            for (int e = 0; e < 8; ++e) {
                const int j = 4 * group + e / 2;
                result.of[e] = bfloat16(sum[i / 2][4 * j + 2 * (i % 2) + e % 2] + of_bias.of[e]);
            }
            store(out + std::int64_t{rows.place[i]} * channels + c, result);
        }
    }
}

}  // namespace cnpd::kernels::cuda
