// Version 10: Hopper. Version 4 is limited by moving operands: through registers, with instructions
// that threads have to issue, and through the L2 cache once for every tile. In version 10
//
//   - wgmma multiplies from shared memory, at the full rate of the tensor cores;
//   - the copy engine fills shared memory (a warp names boxes, the hardware does the rest), up to
//     six chunks ahead, and a barrier in shared memory signals when a chunk has arrived;
//   - a block keeps its piece of the map (128 channels, all k: 128 KB at C = 512) as long as the
//     class stays the same, so that only features are streamed;
//   - two neighbouring blocks, a cluster, have the same rows and different channels: each copies
//     half of the features to both. Every feature is read from the L2 cache C/256 times;
//   - two warpgroups compute alternate tiles: while one finishes its tile (bias, rounding,
//     stores), the other keeps the tensor cores busy;
//   - blocks stay for the whole batch (132 of them, one per multiprocessor).
//
// Per row: 2 C^2 FLOP, 4 C bytes of device memory, and 2 C bytes of L2 reads for each 256 channels.
// At C = 512 and 65,536 rows (batch 4096 of 4x4): 34.4 GFLOP, 0.134 GB, 0.134 GB of L2 reads. On an
// H100 (800 TFLOP/s of bfloat16 and 3 TB/s measured) 43 us of arithmetic and 45 us of memory, on an
// H200 (4.3 TB/s) 43 and 31. Shared memory: wgmma m64n128k16 reads 6 KB in the 64 clocks that it
// takes, the copies write 2 KB in that time: 8 KB of the 8 KB that it delivers, the tightest of the
// three limits. Prediction: 80 to 85 % of the roofline, twice version 4. With classes: a class ends
// with a partial tile (on average half of one is wasted), and each map is read by the clusters that
// have the class: 0.5 MB per class at C = 512.
#include "kernels/polarizer/versions/versions.h"

#include <algorithm>

#include "kernels/common/grid.h"
#include "kernels/common/hopper.h"
#include "kernels/common/vector_access.h"
#include "kernels/polarizer/class_tiles.h"
#include "kernels/polarizer/operands.h"
#include "kernels/polarizer/versions/hopper_tiles.h"

#ifdef __CUDACC__
#pragma nv_diag_suppress 177  // for other architectures the kernel is empty and calls none of this
#endif

namespace cnpd::kernels::cuda {
namespace {

using namespace hopper_tiles;
using hopper::Barrier;
static_assert(kRows == kTileRows);

constexpr int kWarpgroup = 128, kConsumers = 2, kThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kWarpsOfGroup = kWarpgroup / 32;
// 384 threads start with 168 registers each; redistribution does not increase the total.
constexpr int kProducerRegisters = 56, kConsumerRegisters = 224;
static_assert(kProducerRegisters + kConsumers * kConsumerRegisters == (1 + kConsumers) * 168);

struct Pass {
    hopper::TensorMap features, maps;
    ClassTiles tiles;
    int samples, channels;  // of the tensor map: one sample if the rows are not grouped
    int box_rows;
    int parts;
    const float* bias;  // or null
    bfloat16* out;

    __device__ int chunks() const { return channels / kDepth; }
};

// The block's shared memory.
struct Memory {
    unsigned char *map, *stage;     // [chunks], [stages] of kChunkBytes
    Barrier *full, *empty;          // [stages]: a chunk of features is there; may be overwritten
    Barrier *map_full, *map_empty;  // [chunks]: the same for the map
    int stages;

    __device__ Memory(void* memory, int chunks) : stages(hopper_tiles::stages(chunks)) {
        auto* aligned = static_cast<unsigned char*>(memory);
        aligned += (kAlignment - hopper::shared_address(memory) % kAlignment) % kAlignment;
        map = aligned;
        stage = map + chunks * kChunkBytes;
        full = reinterpret_cast<Barrier*>(stage + stages * kChunkBytes);
        empty = full + stages;
        map_full = empty + stages;
        map_empty = map_full + chunks;
    }
    __device__ void init_barriers(int chunks, int cluster) const {
        for (int i = 0; i < stages; ++i) {
            hopper::init(full[i], 1);
            // Both blocks of a cluster write to both, so both wait for the readers of both.
            hopper::init(empty[i], static_cast<unsigned>(cluster * kWarpsOfGroup));
        }
        for (int i = 0; i < chunks; ++i) {
            hopper::init(map_full[i], 1);
            hopper::init(map_empty[i], kConsumers * kWarpsOfGroup);
        }
        hopper::publish_barriers();
    }
};

// The stage of a chunk of features, and its phase.
struct StageCursor {
    int stage = 0;
    unsigned parity = 0;

    __device__ void next(int stages) {
        if (++stage < stages) return;
        stage = 0;
        parity ^= 1;
    }
    __device__ void skip(int chunks, int stages) {
        for (stage += chunks; stage >= stages; stage -= stages) parity ^= 1;
    }
};

struct TileRange {
    int begin, end;
};

// The number of tiles depends on the classes of the batch.
__device__ TileRange tiles_of(const Pass& pass, int part) {
    const int count = pass.tiles.first_tile(pass.tiles.classes);
    return {part_begin(count, part, pass.parts), part_begin(count, part + 1, pass.parts)};
}

// --- The warp that copies ------------------------------------------------------------------------

// Where a lane's box of a tile begins. This takes three dependent loads (the tile's class, the
// class's samples, the sample), so each is issued one tile before the next one.
class BoxScout {
  public:
    __device__ BoxScout(const Pass& pass, const TileRange& range, int row_in_tile)
        : pass_(pass), last_(range.end - 1), next_(range.begin), row_in_tile_(row_in_tile) {
        for (int i = 0; i < 3; ++i) advance();
    }
    __device__ void advance() {
        here_ = ahead_;
        label_ = ahead_label_;
        ahead_ = box(rows_);
        ahead_label_ = rows_.label;
        rows_ = pass_.tiles.rows_of(entry_);
        entry_ = pass_.tiles.entry(next_ < last_ ? next_ : last_);
        ++next_;
    }
    struct Box {
        int position, sample;
    };
    __device__ const Box& here() const { return here_; }
    __device__ int label() const { return label_; }

  private:
    __device__ Box box(const TileRows& rows) const {
        const int row = rows.first + row_in_tile_;
        // Outside of the tensor: the copy engine writes zeros.
        if (!rows.has(row)) return {0, pass_.samples};
        if (!rows.order) return {row, 0};
        return {row % rows.positions, rows.order[row / rows.positions]};
    }

    const Pass& pass_;
    int last_, next_, row_in_tile_, label_ = 0, ahead_label_ = 0;
    int2 entry_{};
    TileRows rows_{};
    Box here_{}, ahead_{};
};

// A chunk of the map, by 16 lanes.
__device__ void copy_map_chunk(const Pass& pass, const Memory& memory, int chunk, int label,
                               int column0, int lane) {
    if (lane == 0) hopper::arrive_expecting(memory.map_full[chunk], kChunkBytes);
    hopper::converge();
    if (lane >= kMapBoxes) return;
    const MapBox box = map_box(lane);
    hopper::copy_box(
        pass.maps, chunk * kDepth, 0, box.j, (label * pass.channels + column0) / 8 + box.q,
        memory.map + chunk * kChunkBytes + box.line * kLineBytes, memory.map_full[chunk]);
}

template <int Cluster>
__device__ void produce(const Pass& pass, const Memory& memory, const Share& mine) {
    const TileRange range = tiles_of(pass, mine.part);
    if (range.begin == range.end) return;
    // A block of a cluster copies its part of each tile's rows to all blocks.
    constexpr int kMyRows = kRows / Cluster;
    const int lane = static_cast<int>(threadIdx.x) % 32, chunks = pass.chunks();
    const int my_row =
        static_cast<int>(hopper::block_of_cluster()) * kMyRows + lane * pass.box_rows;
    const bool has_box = lane < kMyRows / pass.box_rows;
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
            unsigned char* to = memory.stage + at.stage * kChunkBytes + my_row * kLineBytes;
            const auto& box = scout.here();
            if constexpr (Cluster == 1)
                hopper::copy_box(pass.features, chunk * kDepth, box.position, box.sample, to, full);
            else
                hopper::copy_box_to((1u << Cluster) - 1, pass.features, chunk * kDepth,
                                    box.position, box.sample, to, full);
        }
    }
    hopper::converge();
}

// --- The warpgroups that multiply ----------------------------------------------------------------

// The four rows of a tile whose sums a thread has: 8 apart within a fragment, 64 from one fragment
// to the next.
struct MyRows {
    int place[4];  // negative: the tile has no such row

    __device__ explicit MyRows(const TileRows& rows) {
        const int in_group = static_cast<int>(threadIdx.x) % kWarpgroup;
        const int row0 = in_group / 32 * 16 + in_group % 32 / 4;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int row = rows.first + row0 + i / 2 * 64 + i % 2 * 8;
            place[i] = rows.has(row) ? rows.place(row) : -1;
        }
    }
};

// Epilogue: from sums to results. `bias` (or null) and `out` begin at the block's channels.
__device__ __forceinline__ void finish_tile(const float (&sum)[2][64], const MyRows& rows,
                                            const float* bias, int channels, bfloat16* out) {
    const int q = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
    for (int group = 0; group < 4; ++group) {
        const int c = 32 * group + 8 * q;
        const auto of_bias = load_if<8>(bias, c);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
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

// A warpgroup's state for the block's current map.
struct MapCursor {
    unsigned generation = 0;
    bool seen = false;  // whether this warpgroup knows that all chunks have arrived
};

template <int Cluster>
__device__ __forceinline__ void release(const Memory& memory, int stage, int map_chunk) {
    const unsigned lane = threadIdx.x % 32;
    if (Cluster == 1 && lane == 0) hopper::arrive(memory.empty[stage]);
    if (Cluster > 1 && lane < Cluster) hopper::arrive_at(memory.empty[stage], lane);
    if (map_chunk >= 0 && lane == 0) hopper::arrive(memory.map_empty[map_chunk]);
}

// sum = features of the tile times the block's piece of the map. With last_use each of the map's
// chunks is released after its use.
template <int Cluster>
__device__ __forceinline__ void multiply_tile(const Memory& memory, int chunks, StageCursor& at,
                                              const MapCursor& map, bool last_use,
                                              float (&sum)[2][64]) {
    int stage_before = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
        if (!map.seen) hopper::wait(memory.map_full[chunk], map.generation % 2);
        hopper::wait(memory.full[at.stage], at.parity);
        const auto features =
            hopper::operand(hopper::shared_address(memory.stage + at.stage * kChunkBytes));
        const auto of_map =
            hopper::operand(hopper::shared_address(memory.map + chunk * kChunkBytes));
        hopper::begin_products();
#pragma unroll
        for (int k = 0; k < kDepth / 16; ++k)
#pragma unroll
            for (int half = 0; half < 2; ++half)
                // Descriptors count in units of 16 bytes: 16 k are 2, 64 lines 512.
                hopper::multiply(sum[half], features + 2 * k + 512 * half, of_map + 2 * k,
                                 chunk > 0 || k > 0);
        hopper::commit_products();
        if (chunk > 0) {
            hopper::wait_for_products<1>();
            release<Cluster>(memory, stage_before, last_use ? chunk - 1 : -1);
        }
        stage_before = at.stage;
        at.next(memory.stages);
    }
    hopper::wait_for_products<0>();
    hopper::use_after_wait(sum[0]);
    hopper::use_after_wait(sum[1]);
    release<Cluster>(memory, stage_before, last_use ? chunks - 1 : -1);
}

// Consumers compute alternate tiles, but both follow every change of the map. Both have to release
// it, and a consumer that missed a phase of its barriers could not distinguish it from the next but
// one.
template <int Cluster>
__device__ void consume(const Pass& pass, const Memory& memory, const Share& mine, int consumer) {
    const TileRange range = tiles_of(pass, mine.part);
    const int chunks = pass.chunks();
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
        const MyRows rows(pass.tiles.rows_of(entry));
        float sum[2][64];
        multiply_tile<Cluster>(memory, chunks, at, map, label_of(tile + kConsumers) != label, sum);
        map.seen = true;
        finish_tile(sum, rows,
                    pass.bias ? pass.bias + label * pass.channels + mine.column0 : nullptr,
                    pass.channels, pass.out + mine.column0);
    }
}

template <int Cluster>
__device__ __forceinline__ void run(const Pass& pass) {
    CNPD_DYNAMIC_SHARED(unsigned char, raw);
    const int chunks = pass.chunks();
    const Memory memory(raw, chunks);
    if (threadIdx.x == 0) {
        hopper::prefetch(pass.features);
        hopper::prefetch(pass.maps);
        memory.init_barriers(chunks, Cluster);
    }
    hopper::converge();
    if constexpr (Cluster == 1)
        __syncthreads();
    else
        hopper::cluster_barrier();
    const Share mine = share(static_cast<int>(blockIdx.x), Cluster, pass.channels / kColumns);
    const int group = static_cast<int>(threadIdx.x) / kWarpgroup;
    if (group == 0) {
        hopper::give_registers<kProducerRegisters>();
        if (threadIdx.x < 32) produce<Cluster>(pass, memory, mine);
    } else {
        hopper::take_registers<kConsumerRegisters>();
        consume<Cluster>(pass, memory, mine, group - 1);
    }
    hopper::converge();
    // A block stays until its neighbour has sent all data that it waits for, and vice versa.
    if constexpr (Cluster > 1) hopper::cluster_barrier();
}

// Compilers reject the attribute when compiling for GPUs without clusters.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define CNPD_CLUSTER(blocks)
#else
#define CNPD_CLUSTER(blocks) __cluster_dims__(blocks, 1, 1)
#endif

template <int Cluster>
__global__ void CNPD_CLUSTER(Cluster) __launch_bounds__(kThreads, 1)
    persistent(const __grid_constant__ Pass pass) {
#ifdef CNPD_HOPPER
    run<Cluster>(pass);
#else
    __trap();  // instead of leaving `out` unwritten
#endif
}

// --- Launch --------------------------------------------------------------------------------------

hopper::TensorBoxes feature_boxes(const PolarizerShape& s, bool grouped, int rows_of_box) {
    const std::int64_t samples = grouped ? s.n : 1;
    const auto positions = static_cast<std::uint64_t>(s.n * s.positions / samples);
    const auto line = static_cast<std::uint64_t>(s.channels) * sizeof(bfloat16);
    return {.rank = 3,
            .size = {static_cast<std::uint64_t>(s.channels), positions,
                     static_cast<std::uint64_t>(samples)},
            .stride = {line, line * positions},
            .box = {kDepth, static_cast<std::uint32_t>(rows_of_box), 1}};
}

hopper::TensorBoxes map_boxes(const PolarizerShape& s) {
    const auto channels = static_cast<std::uint64_t>(s.channels);
    const std::uint64_t line = channels * sizeof(bfloat16);
    return {.rank = 4,
            .size = {channels, 2, 4, static_cast<std::uint64_t>(s.classes) * channels / 8},
            .stride = {line, 2 * line, 8 * line},
            .box = {kDepth, 2, 1, 4}};
}

template <int Cluster>
void start(const PolarizerShape& s, Pass pass) {
    constexpr int kLeastParts = 3;  // for small or emulated GPUs
    static const int multiprocessors = gpu::properties().multiprocessors;
    const int pieces = static_cast<int>(s.channels) / kColumns;
    pass.parts = std::max(kLeastParts, multiprocessors / pieces);
    const int chunks = static_cast<int>(s.channels) / kDepth;
    launch({.name = "polarizer_v10",
            .grid = static_cast<unsigned>(pass.parts * pieces),
            .block = kThreads,
            .dynamic_shared = static_cast<std::size_t>(shared_bytes(chunks)),
            .cluster = Cluster},
           persistent<Cluster>, pass);
}

// Whether the kernel has a body here: a Hopper GPU may also run code that was compiled for older
// GPUs.
bool is_hopper() {
#ifdef CNPD_EMULATED
    return true;
#else
    static const bool answer = [] {
        if (gpu::properties().compute_major != 9) return false;
        cudaFuncAttributes of{};
        gpu::check(cudaFuncGetAttributes(&of, persistent<1>), "polarizer_v10");
        return of.ptxVersion >= 90;
    }();
    return answer;
#endif
}

}  // namespace

bool polarizer_v10_supports(const PolarizerShape& s, bool grouped) {
    return is_hopper() && supports(s.channels, s.n * s.positions, s.positions, grouped);
}

void polarizer_v10(const PolarizerShape& shape, const bfloat16* z, const PolarizerSamples& samples,
                   const PolarizerMaps<bfloat16>& maps, bfloat16* out) {
    if (is_empty(shape)) return;
    const bool grouped = samples.labels && shape.classes > 1;
    if (!polarizer_v10_supports(shape, grouped) ||
        !rows_are_aligned<bfloat16>(shape.channels, {z, maps.a, out}) ||
        !rows_are_aligned<float>(shape.channels, {maps.b}))
        return polarizer_v4(shape, z, samples, maps, out);
    const int rows_of_box = static_cast<int>(box_rows(shape.positions, grouped));
    const Pass pass{.features = hopper::tensor_map(z, feature_boxes(shape, grouped, rows_of_box)),
                    .maps = hopper::tensor_map(maps.a, map_boxes(shape)),
                    .tiles = class_tiles(shape, samples),
                    .samples = grouped ? static_cast<int>(shape.n) : 1,
                    .channels = static_cast<int>(shape.channels),
                    .box_rows = rows_of_box,
                    .parts = 1,
                    .bias = maps.b,
                    .out = out};
    if (shape.channels / kColumns % 2 == 0) return start<2>(shape, pass);
    start<1>(shape, pass);
}

}  // namespace cnpd::kernels::cuda
