// The grouped product of block_product.h with copies that do not pass through registers (cp.async):
// a thread starts the copies of several pieces of k and multiplies the first while the others are
// under way. For bfloat16 matrices whose rows are aligned to 16 bytes. For .cu files.
//
// A Tile is one of tensor_tile.h's kind. In addition it says where 16 bytes of an operand are
// stored, `address(operand, line, k)`, and which of the tile's channels the map's line is,
// `channel_of_line(line)`.
#pragma once

#include "kernels/common/async_copy.h"
#include "kernels/polarizer/block_product.h"

namespace cnpd::kernels::cuda {

// 128 lines of a matrix, as LineOperand (operands.h), copied piece by piece of Depth k.
template <int Depth>
class CopiedLines {
  public:
    // row(line): negative if there is no such line, which is filled with zeros.
    template <typename Row>
    __device__ CopiedLines(const bfloat16* data, int channels, const Row& row)
        : data_(data), channels_(channels) {
#pragma unroll
        for (int p = 0; p < kPieces; ++p) row_[p] = row(line_of(p));
    }
    template <typename Tile>
    __device__ void copy(int step, typename Tile::Operand& operand) const {
        const int at = step * Depth + k();
#pragma unroll
        for (int p = 0; p < kPieces; ++p) {
            const bool exists = row_[p] >= 0 && at < channels_;
            copy_16_bytes(Tile::address(operand, line_of(p), k()),
                          exists ? data_ + std::int64_t{row_[p]} * channels_ + at : data_, exists);
        }
    }

  private:
    static constexpr int kWidth = kWidest<bfloat16>, kAcross = Depth / kWidth;
    static constexpr int kPieces = kTileLines * kAcross / kTileThreads;

    __device__ static int k() {
        return static_cast<int>(threadIdx.x) % kAcross * kWidth;
    }
    __device__ static int line_of(int piece) {
        return static_cast<int>(threadIdx.x) / kAcross + piece * (kTileThreads / kAcross);
    }

    const bfloat16* data_;
    int channels_;
    int row_[kPieces];
};

template <typename Tile>
struct Stage {
    typename Tile::Operand a, b;
};

// As multiply in block_product.h. Step s is copied to stage s modulo Stages.
template <typename Tile, int Stages, typename Lines>
__device__ __forceinline__ void multiply_staged(Tile& tile, Stage<Tile> (&stage)[Stages],
                                                const Lines& a, const Lines& b, int depth) {
    const int steps = (depth + Tile::kDepth - 1) / Tile::kDepth;
    // Each step is a group of copies, so that waiting for all but the newest groups means the same
    // in every step. The groups behind the last step are empty.
    const auto start = [&](int step, int at) {
        if (step < steps) {
            a.template copy<Tile>(step, stage[at].a);
            b.template copy<Tile>(step, stage[at].b);
        }
        commit_copies();
    };
#pragma unroll
    for (int step = 0; step < Stages - 1; ++step) start(step, step);
    for (int step = 0, at = 0, free = Stages - 1; step < steps; ++step) {
        wait_for_copies<Stages - 2>();
        // All threads' parts of this step have arrived, and all threads have multiplied the
        // previous step, whose stage is the free one.
        __syncthreads();
        start(step + Stages - 1, free);
        tile.add(stage[at].a, stage[at].b);
        free = at;
        at = at + 1 < Stages ? at + 1 : 0;
    }
}

// As apply_maps in block_product.h; two blocks share a multiprocessor.
template <typename Tile, int Stages>
__global__ void __launch_bounds__(kTileThreads, 2)
    apply_maps_staged(ClassTiles tiles, int channels, const bfloat16* z, const bfloat16* maps,
                      const float* bias, bfloat16* out) {
    union Shared {
        Stage<Tile> stage[Stages];
        typename Tile::Shared after;
    };
    CNPD_DYNAMIC_SHARED(unsigned char, memory);
    auto& shared = *reinterpret_cast<Shared*>(memory);
    const auto index = static_cast<int>(blockIdx.x);
    if (!tiles.exists(index)) return;  // the whole block
    const int column0 = static_cast<int>(blockIdx.y) * kTileLines;
    const TileRows rows = tiles.at(index);
    Tile tile;
    tile.clear();
    {
        using Lines = CopiedLines<Tile::kDepth>;
        const Lines features(z, channels, [&](int line) { return rows.place_of_line(line); });
        const Lines map(maps + std::int64_t{rows.label} * channels * channels, channels,
                        [&](int line) {
                            const int c = column0 + Tile::channel_of_line(line);
                            return c < channels ? c : -1;
                        });
        multiply_staged(tile, shared.stage, features, map, channels);
    }
    if constexpr (Tile::kStagingBytes > 0) __syncthreads();  // the stages' memory may be reused
    const float* const of_class = bias ? bias + std::int64_t{rows.label} * channels : nullptr;
    tile.for_each(
        shared.after, [&](int line) { return rows.place_of_line(line); },
        [&](int place, int column, const auto& sums) {
            const int c = column0 + column;
            if (place >= 0)
                store_sums<kWidest<bfloat16>>(sums, of_class ? of_class + c : nullptr, channels - c,
                                              out + std::int64_t{place} * channels + c);
        });
}

// False if the rows are not aligned: nothing is launched.
template <typename Tile, int Stages>
bool launch_staged(const char* name, const PolarizerShape& s, const bfloat16* z,
                   const PolarizerSamples& samples, const PolarizerMaps<bfloat16>& maps,
                   bfloat16* out) {
    if (!rows_are_aligned<bfloat16>(s.channels, {z, maps.a, out}) ||
        !rows_are_aligned<float>(s.channels, {maps.b}))
        return false;
    if (is_empty(s)) return true;
    const ClassTiles tiles = class_tiles(s, samples);
    launch({.name = name,
            .grid = {count_tiles(s, tiles), ceil_div(s.channels, kTileLines)},
            .block = kTileThreads,
            .dynamic_shared = Stages * sizeof(Stage<Tile>)},
           apply_maps_staged<Tile, Stages>, tiles, static_cast<int>(s.channels), z, maps.a, maps.b,
           out);
    return true;
}

}  // namespace cnpd::kernels::cuda
