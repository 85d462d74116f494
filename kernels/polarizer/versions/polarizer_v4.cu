// Version 4: tensor cores. bfloat16 features and maps, float32 sums, through nvcuda::wmma, which
// every GPU since Ampere supports. A block computes 128 rows by 128 channels with 8 warps, a warp
// 64 by 32: for 8 products of 16x16x16 it loads 4 + 2 fragments. The copy from memory is version
// 3's, without the transposition, 32 k at a time. The epilogue (bias, weight, addition, rounding)
// is applied to the sums before they leave the multiprocessor; 16-byte stores.
//
// Arithmetic is 15 times cheaper than version 3's, so 2 C^2 FLOP per row and 4 C bytes are now
// about balanced at C = 512 (256 FLOP per byte): memory becomes a limit. This version does not
// reach it because of the operands: fragments pass through registers, 6 x 512 bytes for 8 products.
// Shared memory delivers these in 24 clocks while the tensor cores of a Hopper multiprocessor need
// 16, and wmma's instruction reaches only about 60 % of their rate on Hopper. Prediction: 300 to
// 400 TFLOP/s on an H100 or H200, 7 times version 3.
//
// Rows of the tiles are padded by 8 elements: with 80 bytes the 8 rows that a tensor core reads at
// once are in different banks.
#include "kernels/polarizer/versions/class_tiles.h"
#include "kernels/polarizer/versions/tile_copy.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

namespace wmma = nvcuda::wmma;

constexpr int kTile = 128, kDepth = 32, kThreads = 256, kWarps = kThreads / 32;
constexpr int kStride = kDepth + 8;
constexpr int kFragment = 16;
constexpr int kRows = 4, kColumns = 2;  // fragments of a warp, which are 2 x 4 in the tile

using Operand = __nv_bfloat16[kTile][kStride];
struct Buffers {
    Operand features[2], map[2];
};
// A warp's fragment, staged for the stores.
using Staging = float[kFragment][kFragment + 4];
// After the last product the sums reuse the operands' memory.
constexpr std::size_t kSharedBytes = sizeof(Buffers);
static_assert(kWarps * sizeof(Staging) <= kSharedBytes);

using Sum = wmma::fragment<wmma::accumulator, kFragment, kFragment, kFragment, float>;

template <int Width>
__device__ void put(const TileCopy<bfloat16, Width, kDepth>& copy, Operand& operand) {
    copy.store([&](int line, int k, const Pack<bfloat16, Width>& pack) {
        store_vector(&operand[line][k], pack);
    });
}

__device__ void multiply(const Operand& features, const Operand& map, int row0, int column0,
                         Sum (&sum)[kRows][kColumns]) {
#pragma unroll
    for (int k = 0; k < kDepth; k += kFragment) {
        wmma::fragment<wmma::matrix_a, kFragment, kFragment, kFragment, __nv_bfloat16,
                       wmma::row_major>
            of_rows[kRows];
        wmma::fragment<wmma::matrix_b, kFragment, kFragment, kFragment, __nv_bfloat16,
                       wmma::col_major>
            of_columns[kColumns];
#pragma unroll
        for (int i = 0; i < kRows; ++i)
            wmma::load_matrix_sync(of_rows[i], &features[row0 + i * kFragment][k], kStride);
#pragma unroll
        for (int j = 0; j < kColumns; ++j)
            wmma::load_matrix_sync(of_columns[j], &map[column0 + j * kFragment][k], kStride);
#pragma unroll
        for (int i = 0; i < kRows; ++i)
#pragma unroll
            for (int j = 0; j < kColumns; ++j)
                wmma::mma_sync(sum[i][j], of_rows[i], of_columns[j], sum[i][j]);
    }
}

// 8 neighbouring channels of one row: sums from the staging area, the result to memory.
template <int Width>
__device__ void finish(const InferenceEpilogue& epilogue, float weight, const float* sums,
                       const float* bias, int channels, bfloat16* out) {
    const auto low = load<4>(sums), high = load<4>(sums + 4);
#pragma unroll
    for (int j = 0; j < 8; j += Width) {
        if (j >= channels) continue;
        Pack<bfloat16, Width> result, old;
        if (epilogue.accumulate) old = load<Width>(out + j);
#pragma unroll
        for (int e = 0; e < Width; ++e)
            result.of[e] = static_cast<bfloat16>(
                weight * ((j + e < 4 ? low.of[(j + e) % 4] : high.of[(j + e) % 4]) + bias[j + e]) +
                (epilogue.accumulate ? static_cast<float>(old.of[e]) : 0.0f));
        store(out + j, result);
    }
}

template <int Width>
__global__ void __launch_bounds__(kThreads)
    tensor_cores(ClassTiles tiles, int channels, const bfloat16* z, const bfloat16* a,
                 InferenceEpilogue epilogue, bfloat16* out) {
    CNPD_DYNAMIC_SHARED(unsigned char, memory);
    auto& buffers = *reinterpret_cast<Buffers*>(memory);
    if (!tiles.exists(blockIdx.x)) return;  // the whole block
    const TileRows from = tiles.at(blockIdx.x);
    const int column0 = static_cast<int>(blockIdx.y) * kTile;
    TileCopy<bfloat16, Width, kDepth> of_features([&](int line) {
        const int row = from.first + line;
        return from.has(row) ? z + std::int64_t{from.place(row)} * channels : nullptr;
    });
    TileCopy<bfloat16, Width, kDepth> of_map([&](int line) {
        const int c = column0 + line;
        return c < channels ? a + (std::int64_t{from.label} * channels + c) * channels : nullptr;
    });
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int warp_row = warp / 4 * kRows * kFragment,
              warp_column = warp % 4 * kColumns * kFragment;

    Sum sum[kRows][kColumns];
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int j = 0; j < kColumns; ++j) wmma::fill_fragment(sum[i][j], 0.0f);
    of_features.load(0, channels);
    of_map.load(0, channels);
    int buffer = 0;
    for (int k0 = 0; k0 < channels; k0 += kDepth, buffer ^= 1) {
        put(of_features, buffers.features[buffer]);
        put(of_map, buffers.map[buffer]);
        __syncthreads();  // one per round is enough, as in version 3
        if (k0 + kDepth < channels) {
            of_features.load(k0 + kDepth, channels);
            of_map.load(k0 + kDepth, channels);
        }
        multiply(buffers.features[buffer], buffers.map[buffer], warp_row, warp_column, sum);
    }
    __syncthreads();  // the operands' memory may be reused

    // Read again, because there are no registers to keep it in.
    const TileRows rows = tiles.at(blockIdx.x);
    // A lane finishes 8 channels of one row of each fragment.
    auto& staging = reinterpret_cast<Staging*>(memory)[warp];
    const int my_row = lane % kFragment, my_column = lane / kFragment * 8;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
        const int row = rows.first + warp_row + i * kFragment + my_row;
        const bool has_row = rows.has(row);
        const std::int64_t place = has_row ? rows.place(row) : 0;
        const float weight = has_row ? epilogue.weight(rows.sample(row)) : 0;
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
            __syncwarp();  // lanes have read the previous fragment
            wmma::store_matrix_sync(&staging[0][0], sum[i][j], kFragment + 4, wmma::mem_row_major);
            __syncwarp();
            const int c = column0 + warp_column + j * kFragment + my_column;
            if (has_row)
                finish<Width>(epilogue, weight, &staging[my_row][my_column],
                              epilogue.bias + rows.label * channels + c, channels - c,
                              out + place * channels + c);
        }
    }
}

}  // namespace

void polarizer_v4(const PolarizerShape& shape, const bfloat16* z, const std::int32_t* labels,
                  const float* weights, bool accumulate, const bfloat16* a, const float* b,
                  bfloat16* out) {
    if (is_empty(shape)) return;
    const TilePlan plan(shape, labels, kTile);
    const auto run = [&](auto kernel) {
        launch({.name = "polarizer_v4",
                .grid = {static_cast<unsigned>(plan.count()), ceil_div(shape.channels, kTile)},
                .block = kThreads,
                .dynamic_shared = kSharedBytes},
               kernel, plan.tiles(), static_cast<int>(shape.channels), z, a,
               InferenceEpilogue{b, weights, accumulate}, out);
    };
    if (rows_are_aligned<bfloat16>(shape.channels, {z, a, out}))
        run(tensor_cores<8>);
    else
        run(tensor_cores<1>);
}

}  // namespace cnpd::kernels::cuda
