// A block's product of two operands (operands.h) as a 128 x 128 tile (float_tile.h or
// tensor_tile.h), and the grouped product of features with their samples' maps. For .cu files.
#pragma once

#include "kernels/polarizer/operands.h"

namespace cnpd::kernels::cuda {

// Adds the product over `depth` k, from the operands' start on, to the tile. A barrier is needed
// between two calls.
template <typename Tile, typename A, typename B>
__device__ __forceinline__ void multiply(Tile& tile, typename Tile::Shared& shared, A& a, B& b,
                                         int depth) {
    auto& [of_a, of_b] = shared.operands;
    const int steps = (depth + Tile::kDepth - 1) / Tile::kDepth;
    a.load(0);
    b.load(0);
    for (int step = 0, buffer = 0; step < steps; ++step, buffer ^= 1) {
        a.template put<Tile>(of_a[buffer]);
        b.template put<Tile>(of_b[buffer]);
        // The data read below was written before this barrier. The next round writes the other
        // buffer, and the round after that writes only after the next barrier.
        __syncthreads();
        if (step + 1 < steps) {
            a.load(step + 1);
            b.load(step + 1);
        }
        tile.add(of_a[buffer], of_b[buffer]);
    }
}

// Stores neighbouring sums of one row, rounded, `left` of them at most; adds `bias` if not null.
template <int Width, int Count, typename T>
__device__ __forceinline__ void store_sums(const Pack<float, Count>& sums, const float* bias,
                                           int left, T* out) {
    constexpr int kStore = Width < Count ? Width : Count;
#pragma unroll
    for (int j = 0; j < Count; j += kStore) {
        if (j >= left) continue;
        const auto of_bias = load_if<kStore>(bias, j);
        Pack<T, kStore> result;
#pragma unroll
        for (int e = 0; e < kStore; ++e)
            result.of[e] = static_cast<T>(sums.of[j + e] + of_bias.of[e]);
        store(out + j, result);
    }
}

// out[row] = maps[label] source[row] (+ bias[label]); blockIdx.x is the tile, blockIdx.y its piece
// of 128 output channels.
template <typename Tile, int Width, typename Source, typename T>
__global__ void __launch_bounds__(kTileThreads)
    apply_maps(ClassTiles tiles, int channels, Source source, const T* maps, const float* bias,
               T* out) {
    CNPD_DYNAMIC_SHARED(unsigned char, memory);
    auto& shared = *reinterpret_cast<typename Tile::Shared*>(memory);
    const auto index = static_cast<int>(blockIdx.x);
    if (!tiles.exists(index)) return;  // the whole block
    const int column0 = static_cast<int>(blockIdx.y) * kTileLines;
    Tile tile;
    tile.clear();
    {
        const TileRows rows = tiles.at(index);
        auto features = rows_operand<Width, Tile::kDepth>(source.of_class(rows.label, channels),
                                                          rows, channels);
        auto map = map_operand<Width, Tile::kDepth>(maps, rows.label, column0, channels);
        multiply(tile, shared, features, map, channels);
    }
    __syncthreads();  // the operands' memory may be reused
    // Read again, because there are no registers to keep it in.
    const TileRows rows = tiles.at(index);
    const float* const of_class = bias ? bias + std::int64_t{rows.label} * channels : nullptr;
    tile.for_each(
        shared, [&](int line) { return rows.place_of_line(line); },
        [&](int place, int column, const auto& sums) {
            const int c = column0 + column;
            if (place >= 0)
                store_sums<Width>(sums, of_class ? of_class + c : nullptr, channels - c,
                                  out + std::int64_t{place} * channels + c);
        });
}

template <typename Tile, int Width, typename Source, typename T>
void launch_maps(const char* name, const PolarizerShape& s, const PolarizerSamples& samples,
                 const Source& source, const T* maps, const float* bias, T* out) {
    if (is_empty(s)) return;
    const ClassTiles tiles = class_tiles(s, samples);
    launch({.name = name,
            .grid = {count_tiles(s, tiles), ceil_div(s.channels, kTileLines)},
            .block = kTileThreads,
            .dynamic_shared = sizeof(typename Tile::Shared)},
           apply_maps<Tile, Width, Source, T>, tiles, static_cast<int>(s.channels), source, maps,
           bias, out);
}

}  // namespace cnpd::kernels::cuda
