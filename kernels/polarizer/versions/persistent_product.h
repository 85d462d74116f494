// The grouped product by persistent blocks: each stays on its multiprocessor for the whole batch
// and keeps its piece of the map, 128 channels and all k, as long as the class stays the same, so
// that only features are streamed. One warp copies, two warpgroups multiply alternate tiles: while
// one finishes its tile (bias, rounding, stores), the other keeps the tensor cores busy. For .cu
// files.
//
// `Neighbours` says how blocks work together (polarizer_v9.cu, polarizer_v10.cu):
//     kBlocks                       of a cluster
//     begin(), end()                barriers of all threads that start and finish together
//     rank()                        of the block in its cluster
//     copy_features(...)            a box of features to all blocks of the cluster
//     release(empty)                by all lanes of a warp that has multiplied a stage's features
#pragma once

#include <algorithm>

#include "kernels/common/grid.h"
#include "kernels/polarizer/versions/hopper_operands.h"
#include "kernels/polarizer/versions/wgmma_sums.h"

namespace cnpd::kernels::cuda {

using hopper::Barrier;
using hopper_tiles::kChunkBytes, hopper_tiles::kDepth, hopper_tiles::kLineBytes;

inline constexpr int kWarpsOfGroup = kWarpgroup / 32;

struct PersistentPass {
    BoxedOperands operands;
    ClassTiles tiles;
    int parts;
    const float* bias;  // or null
    bfloat16* out;
};

// The block's shared memory.
struct Memory {
    unsigned char *map, *stage;     // [chunks], [stages] of kChunkBytes
    Barrier *full, *empty;          // [stages]: a chunk of features is there; may be overwritten
    Barrier *map_full, *map_empty;  // [chunks]: the same for the map
    int stages;

    __device__ Memory(void* memory, int chunks) : stages(hopper_tiles::stages(chunks)) {
        map = aligned_for_boxes(memory);
        stage = map + chunks * kChunkBytes;
        full = reinterpret_cast<Barrier*>(stage + stages * kChunkBytes);
        empty = full + stages;
        map_full = empty + stages;
        map_empty = map_full + chunks;
    }
    __device__ void init_barriers(int chunks, int cluster) const {
        for (int i = 0; i < stages; ++i) {
            hopper::init(full[i], 1);
            // The warps of the warpgroup whose tile it is, in each block.
            hopper::init(empty[i], static_cast<unsigned>(cluster * kWarpsOfGroup));
        }
        for (int i = 0; i < chunks; ++i) {
            hopper::init(map_full[i], 1);
            hopper::init(map_empty[i], kConsumers * kWarpsOfGroup);
        }
        hopper::publish_barriers();
    }
};

struct TileRange {
    int begin, end;
};

// The number of tiles depends on the classes of the batch.
__device__ inline TileRange tiles_of(const PersistentPass& pass, int part) {
    const int count = pass.tiles.first_tile(pass.tiles.classes);
    return {hopper_tiles::part_begin(count, part, pass.parts),
            hopper_tiles::part_begin(count, part + 1, pass.parts)};
}

// --- The warp that copies ------------------------------------------------------------------------

// Where a lane's box of a tile begins. This takes three dependent loads (the tile's class, the
// class's samples, the sample), so each is issued one tile before the next one.
class BoxScout {
  public:
    __device__ BoxScout(const PersistentPass& pass, const TileRange& range, int row_in_tile)
        : pass_(pass), last_(range.end - 1), next_(range.begin), row_in_tile_(row_in_tile) {
        for (int i = 0; i < 3; ++i) advance();
    }
    __device__ void advance() {
        here_ = ahead_;
        label_ = ahead_label_;
        ahead_ = box_of_row(pass_.operands.samples, rows_, rows_.first + row_in_tile_);
        ahead_label_ = rows_.label;
        rows_ = pass_.tiles.rows_of(entry_);
        entry_ = pass_.tiles.entry(next_ < last_ ? next_ : last_);
        ++next_;
    }
    __device__ const BoxPlace& here() const { return here_; }
    __device__ int label() const { return label_; }

  private:
    const PersistentPass& pass_;
    int last_, next_, row_in_tile_, label_ = 0, ahead_label_ = 0;
    int2 entry_{};
    TileRows rows_{};
    BoxPlace here_{}, ahead_{};
};

// A chunk of the map, by 16 lanes.
__device__ inline void copy_map_chunk(const PersistentPass& pass, const Memory& memory, int chunk,
                                      int label, int column0, int lane) {
    if (lane == 0) hopper::arrive_expecting(memory.map_full[chunk], kChunkBytes);
    hopper::converge();
    if (lane < hopper_tiles::kMapBoxes)
        copy_map_box(pass.operands, label, column0, chunk, lane, memory.map + chunk * kChunkBytes,
                     memory.map_full[chunk]);
}

template <typename Neighbours>
__device__ void produce(const PersistentPass& pass, const Memory& memory,
                        const hopper_tiles::Share& mine) {
    const TileRange range = tiles_of(pass, mine.part);
    if (range.begin == range.end) return;
    // A block of a cluster copies its part of each tile's rows to all blocks.
    constexpr int kMyRows = hopper_tiles::kRows / Neighbours::kBlocks;
    const BoxedOperands& operands = pass.operands;
    const int lane = static_cast<int>(threadIdx.x) % 32, chunks = operands.chunks();
    const int my_row = Neighbours::rank() * kMyRows + lane * operands.box_rows;
    const bool has_box = lane < kMyRows / operands.box_rows;
    BoxScout scout(pass, range, has_box ? my_row : 0);
    StageCursor at;
    int label = -1;
    unsigned generation = 0;  // number of previous maps of this block
    for (int tile = range.begin; tile < range.end; ++tile) {
        scout.advance();
        const int tile_label = scout.label();
        const bool new_map = tile_label != label;
        if (new_map && label >= 0) ++generation;
        label = tile_label;
#pragma unroll 1
        for (int chunk = 0; chunk < chunks; ++chunk, at.next(memory.stages)) {
            if (new_map) {
                if (generation > 0) hopper::wait(memory.map_empty[chunk], (generation - 1) % 2);
                copy_map_chunk(pass, memory, chunk, label, mine.column0, lane);
            }
            Barrier& full = memory.full[at.stage];
            hopper::wait(memory.empty[at.stage], at.parity ^ 1);
            if (lane == 0) hopper::arrive_expecting(full, kChunkBytes);
            hopper::converge();
            if (!has_box) continue;
            Neighbours::copy_features(operands.features, chunk * kDepth, scout.here(),
                                      memory.stage + at.stage * kChunkBytes + my_row * kLineBytes,
                                      full);
        }
    }
    hopper::converge();
}

// --- The warpgroups that multiply ----------------------------------------------------------------

// A warpgroup's state for the block's current map.
struct MapCursor {
    unsigned generation = 0;
    bool seen = false;  // whether this warpgroup knows that all chunks have arrived
};

template <typename Neighbours>
__device__ __forceinline__ void release(const Memory& memory, int stage, int map_chunk) {
    Neighbours::release(memory.empty[stage]);
    if (map_chunk >= 0 && threadIdx.x % 32 == 0) hopper::arrive(memory.map_empty[map_chunk]);
}

// sum = features of the tile times the block's piece of the map. With last_use each of the map's
// chunks is released after its use.
template <typename Neighbours>
__device__ __forceinline__ void multiply_tile(const Memory& memory, int chunks, StageCursor& at,
                                              const MapCursor& map, bool last_use,
                                              float (&sum)[2][64]) {
    int stage_before = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
        if (!map.seen) hopper::wait(memory.map_full[chunk], map.generation % 2);
        hopper::wait(memory.full[at.stage], at.parity);
        start_products(sum, memory.stage + at.stage * kChunkBytes, memory.map + chunk * kChunkBytes,
                       chunk > 0);
        if (chunk > 0) {
            hopper::wait_for_products<1>();
            release<Neighbours>(memory, stage_before, last_use ? chunk - 1 : -1);
        }
        stage_before = at.stage;
        at.next(memory.stages);
    }
    hopper::wait_for_products<0>();
    hopper::use_after_wait(sum[0]);
    hopper::use_after_wait(sum[1]);
    release<Neighbours>(memory, stage_before, last_use ? chunks - 1 : -1);
}

// Consumers compute alternate tiles, but both follow every change of the map. Both have to release
// it, and a consumer that missed a phase of its barriers could not distinguish it from the next but
// one.
template <typename Neighbours>
__device__ void consume(const PersistentPass& pass, const Memory& memory,
                        const hopper_tiles::Share& mine, int consumer) {
    const TileRange range = tiles_of(pass, mine.part);
    const int channels = pass.operands.channels, chunks = pass.operands.chunks();
    StageCursor at;
    MapCursor map;
    int label = -1;
    const auto label_of = [&](int tile) {
        return tile < range.end ? pass.tiles.entry(tile).x : -1;
    };
    for (int tile = range.begin; tile < range.end; ++tile) {
        const int2 entry = pass.tiles.entry(tile);
        const bool new_map = entry.x != label;
        if (new_map) {
            if (label >= 0) ++map.generation;
            map.seen = false;
            label = entry.x;
        }
        if ((tile - range.begin) % kConsumers != consumer) {
            // A map that only the other consumer's tile uses.
            if (new_map && label_of(tile + 1) != label)
#pragma unroll 1
                for (int chunk = 0; chunk < chunks; ++chunk) {
                    hopper::wait(memory.map_full[chunk], map.generation % 2);
                    if (threadIdx.x % 32 == 0) hopper::arrive(memory.map_empty[chunk]);
                }
            at.skip(chunks, memory.stages);
            continue;
        }
        const MyRows<2> rows(pass.tiles.rows_of(entry), 0);
        float sum[2][64];
        multiply_tile<Neighbours>(memory, chunks, at, map, label_of(tile + kConsumers) != label,
                                  sum);
        map.seen = true;
        finish_tile(sum, rows, pass.bias ? pass.bias + label * channels + mine.column0 : nullptr,
                    channels, pass.out + mine.column0);
    }
}

template <typename Neighbours>
__device__ __forceinline__ void stay(const PersistentPass& pass) {
    CNPD_DYNAMIC_SHARED(unsigned char, raw);
    const int chunks = pass.operands.chunks();
    const Memory memory(raw, chunks);
    if (threadIdx.x == 0) {
        hopper::prefetch(pass.operands.features);
        hopper::prefetch(pass.operands.maps);
        memory.init_barriers(chunks, Neighbours::kBlocks);
    }
    hopper::converge();
    Neighbours::begin();
    const hopper_tiles::Share mine =
        hopper_tiles::share(static_cast<int>(blockIdx.x), Neighbours::kBlocks,
                            pass.operands.channels / hopper_tiles::kColumns);
    const int group = static_cast<int>(threadIdx.x) / kWarpgroup;
    if (group == 0) {
        hopper::give_registers<kProducerRegisters>();
        if (threadIdx.x < 32) produce<Neighbours>(pass, memory, mine);
    } else {
        hopper::take_registers<kConsumerRegisters>();
        consume<Neighbours>(pass, memory, mine, group - 1);
    }
    hopper::converge();
    Neighbours::end();
}

template <typename Neighbours>
__global__ void CNPD_CLUSTER(Neighbours::kBlocks) __launch_bounds__(kThreads, 1)
    persistent(const __grid_constant__ PersistentPass pass) {
#ifdef CNPD_HOPPER
    stay<Neighbours>(pass);
#else
    __trap();  // instead of leaving `out` unwritten
#endif
}

template <typename Neighbours>
void launch_persistent(const char* name, const PolarizerShape& s, const bfloat16* z,
                       const PolarizerSamples& samples, const PolarizerMaps<bfloat16>& maps,
                       bfloat16* out) {
    constexpr int kLeastParts = 3;  // for small or emulated GPUs
    static const int multiprocessors = gpu::properties().multiprocessors;
    const int pieces = static_cast<int>(s.channels) / hopper_tiles::kColumns;
    const PersistentPass pass{.operands = boxed_operands(s, z, maps.a, is_grouped(s, samples)),
                              .tiles = class_tiles(s, samples),
                              .parts = std::max(kLeastParts, multiprocessors / pieces),
                              .bias = maps.b,
                              .out = out};
    const int chunks = static_cast<int>(s.channels) / kDepth;
    launch({.name = name,
            .grid = static_cast<unsigned>(pass.parts * pieces),
            .block = kThreads,
            .dynamic_shared = static_cast<std::size_t>(hopper_tiles::shared_bytes(chunks)),
            .cluster = Neighbours::kBlocks},
           persistent<Neighbours>, pass);
}

}  // namespace cnpd::kernels::cuda
