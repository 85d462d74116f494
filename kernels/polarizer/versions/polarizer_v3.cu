// Version 3: tiles in registers, 16 bytes per access. A block computes 128 rows by 128 channels, a
// thread 8 by 8 of them: for 64 multiply-adds it reads 8 + 8 words of shared memory, in four
// accesses of 16 bytes. Both tiles are stored with k outermost, so that a thread's 4 neighbours in
// rows (or channels) are one access; the copy from memory transposes. While a piece of 16 k is
// multiplied, the next is loaded from memory into registers, and is then stored to the other of two
// buffers: one barrier per piece.
//
// For each k, a warp issues 64 multiply-adds (16 clocks of the multiprocessor's four schedulers)
// and four 16-byte reads (4 wavefronts each, 16 clocks of shared memory in parallel), so the
// arithmetic units can be busy all the time. Memory: 128 x 128 outputs from 2 x 128 C elements,
// C/64 elements per output. Prediction: limited by float32 arithmetic, 70 to 80 % of its peak; 6
// times version 2.
//
// In bfloat16 the loads are 8 elements of 16 bytes, widened before the store to shared memory: half
// the traffic, the same arithmetic, and therefore hardly faster.
#include "kernels/polarizer/versions/class_tiles.h"
#include "kernels/polarizer/versions/tile_copy.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kTile = 128, kDepth = 16, kThreads = 256;
constexpr int kSide = 8;  // outputs of a thread in each direction: two groups of 4, 64 apart
// The padding of 4 columns is for the transposing stores: with it two threads of a warp use the
// same bank, without it eight. 16-byte reads require a multiple of 4.
constexpr int kStride = kTile + 4;

using Tile = float[kDepth][kStride];

__device__ int index_in_tile(int i, int group) {
    return i / 4 * (kTile / 2) + group * 4 + i % 4;
}

__device__ void read_side(const float* line, int group, float (&side)[kSide]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const auto four = load<4>(line + half * (kTile / 2) + group * 4);
#pragma unroll
        for (int i = 0; i < 4; ++i) side[4 * half + i] = four.of[i];
    }
}

template <typename T, int Width>
__device__ void put(const TileCopy<T, Width, kDepth>& copy, Tile& tile) {
    copy.store([&](int line, int k, const Pack<T, Width>& pack) {
#pragma unroll
        for (int e = 0; e < Width; ++e) tile[k + e][line] = static_cast<float>(pack.of[e]);
    });
}

// A row of the thread's outputs, in two groups of 4 channels.
template <int Width, typename T>
__device__ void finish(const InferenceEpilogue& epilogue, float weight, const float (&sum)[kSide],
                       const float* bias, int channels, T* out) {
    constexpr int kStore = Width == 1 ? 1 : 4;
#pragma unroll
    for (int j = 0; j < kSide; j += kStore) {
        const int c = j / 4 * (kTile / 2) + j % 4;
        if (c >= channels) continue;
        Pack<T, kStore> result, old;
        if (epilogue.accumulate) old = load<kStore>(out + c);
#pragma unroll
        for (int e = 0; e < kStore; ++e)
            result.of[e] =
                static_cast<T>(weight * (sum[j + e] + bias[c + e]) +
                               (epilogue.accumulate ? static_cast<float>(old.of[e]) : 0.0f));
        store(out + c, result);
    }
}

template <typename T, int Width>
__global__ void __launch_bounds__(kThreads, Width == 8 ? 2 : 1)
    register_tiles(ClassTiles tiles, int channels, const T* z, const T* a,
                   InferenceEpilogue epilogue, T* out) {
    __shared__ Tile features[2], map[2];
    if (!tiles.exists(blockIdx.x)) return;  // the whole block
    const TileRows from = tiles.at(blockIdx.x);
    const int column0 = static_cast<int>(blockIdx.y) * kTile;
    TileCopy<T, Width, kDepth> of_features([&](int line) {
        const int row = from.first + line;
        return from.has(row) ? z + std::int64_t{from.place(row)} * channels : nullptr;
    });
    TileCopy<T, Width, kDepth> of_map([&](int line) {
        const int c = column0 + line;
        return c < channels ? a + (std::int64_t{from.label} * channels + c) * channels : nullptr;
    });
    const int across = static_cast<int>(threadIdx.x) % 16,
              down = static_cast<int>(threadIdx.x) / 16;

    float sum[kSide][kSide] = {};
    of_features.load(0, channels);
    of_map.load(0, channels);
    int buffer = 0;
    for (int k0 = 0; k0 < channels; k0 += kDepth, buffer ^= 1) {
        put(of_features, features[buffer]);
        put(of_map, map[buffer]);
        // The data read below was written before this barrier. The next round writes the other
        // buffer, and the round after that writes only after the next barrier.
        __syncthreads();
        if (k0 + kDepth < channels) {
            of_features.load(k0 + kDepth, channels);
            of_map.load(k0 + kDepth, channels);
        }
#pragma unroll
        for (int k = 0; k < kDepth; ++k) {
            float of_row[kSide], of_column[kSide];
            read_side(features[buffer][k], down, of_row);
            read_side(map[buffer][k], across, of_column);
#pragma unroll
            for (int i = 0; i < kSide; ++i)
#pragma unroll
                for (int j = 0; j < kSide; ++j) sum[i][j] += of_row[i] * of_column[j];
        }
    }

    // Read again, because there are no registers to keep it in.
    const TileRows rows = tiles.at(blockIdx.x);
    const int c = column0 + across * 4;
#pragma unroll
    for (int i = 0; i < kSide; ++i) {
        const int row = rows.first + index_in_tile(i, down);
        if (!rows.has(row)) continue;
        finish<Width>(epilogue, epilogue.weight(rows.sample(row)), sum[i],
                      epilogue.bias + rows.label * channels + c, channels - c,
                      out + std::int64_t{rows.place(row)} * channels + c);
    }
}

template <typename T>
void run(const char* name, const PolarizerShape& shape, const T* z, const std::int32_t* labels,
         const T* a, const InferenceEpilogue& epilogue, T* out) {
    if (is_empty(shape)) return;
    constexpr int kWidth = 16 / sizeof(T);
    const TilePlan plan(shape, labels, kTile);
    const auto start = [&](auto kernel) {
        launch({.name = name,
                .grid = {static_cast<unsigned>(plan.count()), ceil_div(shape.channels, kTile)},
                .block = kThreads},
               kernel, plan.tiles(), static_cast<int>(shape.channels), z, a, epilogue, out);
    };
    if (rows_are_aligned<T>(shape.channels, {z, a, out}))
        start(register_tiles<T, kWidth>);
    else
        start(register_tiles<T, 1>);
}

}  // namespace

void polarizer_v3(const PolarizerShape& shape, const float* z, const std::int32_t* labels,
                  const float* weights, bool accumulate, const float* a, const float* b,
                  float* out) {
    run("polarizer_v3", shape, z, labels, a, {b, weights, accumulate}, out);
}

void polarizer_v3_bf16(const PolarizerShape& shape, const bfloat16* z, const std::int32_t* labels,
                       const float* weights, bool accumulate, const bfloat16* a, const float* b,
                       bfloat16* out) {
    run("polarizer_v3_bf16", shape, z, labels, a, {b, weights, accumulate}, out);
}

}  // namespace cnpd::kernels::cuda
