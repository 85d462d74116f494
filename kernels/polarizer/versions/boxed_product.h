// The grouped product with bulk tensor copies: a warp names boxes, the copy engine fills the stages
// in shared memory, and a barrier for each stage (hopper.h) counts the bytes that have arrived. A
// block computes one tile. For .cu files.
//
// A Tile adds a chunk of 64 k with `add(features, map, first)`. It may return while its last
// kInFlight calls still read their chunks. `finish` stores the results.
#pragma once

#include "kernels/common/grid.h"
#include "kernels/polarizer/versions/hopper_operands.h"

namespace cnpd::kernels::cuda {

struct BoxedPass {
    BoxedOperands operands;
    ClassTiles tiles;
    const float* bias;  // or null
    bfloat16* out;
};

// In a block's shared memory. Each stage has a chunk of features and one of the map.
template <int Stages>
struct BoxStages {
    static constexpr int kBytes = 2 * hopper_tiles::kChunkBytes;
    static constexpr std::size_t kShared =
        hopper_tiles::kAlignment + Stages * (kBytes + sizeof(hopper::Barrier));
    unsigned char* stage;
    hopper::Barrier* full;  // [Stages]: the chunks are there

    __device__ explicit BoxStages(unsigned char* memory) {
        stage = aligned_for_boxes(memory);
        full = reinterpret_cast<hopper::Barrier*>(stage + Stages * kBytes);
    }
    __device__ void init_barriers() const {
        for (int i = 0; i < Stages; ++i) hopper::init(full[i], 1);
        hopper::publish_barriers();
    }
    __device__ unsigned char* features(int at) const { return stage + at * kBytes; }
    __device__ unsigned char* map(int at) const { return features(at) + hopper_tiles::kChunkBytes; }
};

// The first warp starts the copies of one chunk after the other: 16 lanes a box of the map each, 16
// lanes the boxes of the tile's rows, at least 8 rows each.
template <int Stages>
class BoxCopies {
  public:
    __device__ BoxCopies(const BoxedOperands& operands, const BoxStages<Stages>& memory,
                         const TileRows& rows, int column0)
        : operands_(operands),
          memory_(memory),
          label_(rows.label),
          column0_(column0),
          first_row_((lane() - kMapBoxes) * operands.box_rows) {
        if (has_features()) place_ = box_of_row(operands.samples, rows, rows.first + first_row_);
    }
    __device__ void start(int chunk, int at) const {
        hopper::Barrier& full = memory_.full[at];
        if (lane() == 0) hopper::arrive_expecting(full, BoxStages<Stages>::kBytes);
        hopper::converge();
        if (lane() < kMapBoxes)
            copy_map_box(operands_, label_, column0_, chunk, lane(), memory_.map(at), full);
        else if (has_features())
            hopper::copy_box(operands_.features, chunk * hopper_tiles::kDepth, place_.position,
                             place_.sample,
                             memory_.features(at) + first_row_ * hopper_tiles::kLineBytes, full);
        hopper::converge();
    }

  private:
    static constexpr int kMapBoxes = hopper_tiles::kMapBoxes;
    __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
    __device__ bool has_features() const {
        return first_row_ >= 0 && first_row_ < hopper_tiles::kRows;
    }

    const BoxedOperands& operands_;
    const BoxStages<Stages>& memory_;
    int label_, column0_, first_row_;
    BoxPlace place_{};
};

template <typename Tile, int Stages>
__device__ __forceinline__ void multiply_boxes(const BoxedPass& pass) {
    CNPD_DYNAMIC_SHARED(unsigned char, raw);
    const auto index = static_cast<int>(blockIdx.x);
    if (!pass.tiles.exists(index)) return;  // the whole block
    const int column0 = static_cast<int>(blockIdx.y) * kTileLines;
    const int chunks = pass.operands.chunks();
    const BoxStages<Stages> memory(raw);
    if (threadIdx.x == 0) memory.init_barriers();
    __syncthreads();
    const BoxCopies<Stages> copies(pass.operands, memory, pass.tiles.at(index), column0);
    const auto start = [&](int chunk, int at) {
        if (threadIdx.x < 32 && chunk < chunks) copies.start(chunk, at);
    };
#pragma unroll 1
    for (int chunk = 0; chunk < Stages; ++chunk) start(chunk, chunk);
    Tile tile;
    tile.clear();
    int at = 0;
    unsigned parity = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
        hopper::wait(memory.full[at], parity);
        tile.add(memory.features(at), memory.map(at), chunk == 0);
        // Behind the barrier nobody reads the stages of chunks up to chunk - kInFlight any more.
        __syncthreads();
        if (const int done = chunk - Tile::kInFlight; done >= 0)
            start(done + Stages, at - Tile::kInFlight + (at < Tile::kInFlight ? Stages : 0));
        if (++at == Stages) {
            at = 0;
            parity ^= 1;
        }
    }
    // Read again, because there are no registers to keep it in.
    const TileRows rows = pass.tiles.at(index);
    tile.finish(rows, column0, pass.operands.channels,
                pass.bias ? pass.bias + std::int64_t{rows.label} * pass.operands.channels : nullptr,
                pass.out);
}

// Two blocks share a multiprocessor.
template <typename Tile, int Stages>
__global__ void __launch_bounds__(kTileThreads, 2)
    apply_maps_boxed(const __grid_constant__ BoxedPass pass) {
#ifdef CNPD_HOPPER
    multiply_boxes<Tile, Stages>(pass);
#else
    __trap();  // instead of leaving `out` unwritten
#endif
}

template <typename Tile, int Stages>
void launch_boxed(const char* name, const PolarizerShape& s, const bfloat16* z,
                  const PolarizerSamples& samples, const PolarizerMaps<bfloat16>& maps,
                  bfloat16* out) {
    const BoxedPass pass{.operands = boxed_operands(s, z, maps.a, is_grouped(s, samples)),
                         .tiles = class_tiles(s, samples),
                         .bias = maps.b,
                         .out = out};
    launch({.name = name,
            .grid = {count_tiles(s, pass.tiles), ceil_div(s.channels, kTileLines)},
            .block = kTileThreads,
            .dynamic_shared = BoxStages<Stages>::kShared},
           apply_maps_boxed<Tile, Stages>, pass);
}

}  // namespace cnpd::kernels::cuda
