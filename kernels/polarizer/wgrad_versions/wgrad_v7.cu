// Version 7: Hopper. Version 6 is limited by the L2 cache, and mma.sync reaches 60 to 65 % of the
// tensor cores' rate there. In version 7
//
//   - wgmma multiplies from shared memory. It reads operands whose k is the slow dimension
//     (transposed_operand in hopper.h), so rows stay as they are in memory;
//   - the copy engine fills shared memory in boxes of 64 channels of some rows, up to three stages
//     of 64 rows ahead; a barrier in shared memory signals when a stage has arrived. Boxes behind
//     the rows of a class are outside of the tensor and become zeros;
//   - a block has the same 256 x 128 channels, by two warpgroups, each 128 x 128 in 128 registers a
//     thread. Two neighbouring blocks, a cluster, have the same 256 channels of dout: each copies
//     half of them to both. For 65,536 multiply-adds the L2 cache delivers 1 KB, half of version
//     6's;
//   - db: the blocks with the same channels of dout share them in groups of 64. A warp adds up 8
//     channels of a stage with ordinary loads, 8 rows at a time, without bank conflicts (the
//     swizzle), while the tensor cores work.
//
// At C = 512 and 65,536 rows: 0.27 GB from the L2 cache and 0.03 GB of partial sums, 55 us; device
// memory 45 us (H100) or 31 (H200), tensor cores 45 us; shared memory: m64n128k16 reads 6 KB in 64
// clocks and the copies write 1.5 KB for it, 94 % of what it delivers at the full rate. Prediction:
// 60 to 70 us, three quarters of version 6's time.
//
// C has to be a multiple of 256, and the rows of a sample as in the forward's version 7
// (hopper_tiles.h); else version 6 runs.
#include "kernels/polarizer/sums_over_rows.h"
#include "kernels/polarizer/versions/hopper_operands.h"
#include "kernels/polarizer/wgrad_versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

using hopper::Barrier;

constexpr int kRows = 256, kColumns = 128;  // channels of dout and of z of a block
constexpr int kDepth = 64, kStages = 4;     // rows of a stage
constexpr int kCluster = 2;
// A stage: 4 chunks of 64 channels of dout, then 2 of z. A row of a chunk is a line of 128 bytes.
constexpr int kOfChunk = hopper_tiles::kDepth, kLineBytes = 2 * kOfChunk,
              kChunkBytes = kDepth * kLineBytes;
constexpr int kChunksOfDout = kRows / kOfChunk, kChunksOfZ = kColumns / kOfChunk;
constexpr int kStageBytes = (kChunksOfDout + kChunksOfZ) * kChunkBytes;
constexpr int kSharedBytes = hopper_tiles::kAlignment + kStages * kStageBytes +
                             2 * kStages * static_cast<int>(sizeof(Barrier));
static_assert(kSharedBytes <= hopper_tiles::kBlockBytes);

constexpr int kConsumerWarps = kConsumers * kWarpgroup / 32;

struct Pass {
    hopper::TensorMap dout, z;
    ClassTiles tiles;
    RowSums to;
    int samples;  // of the tensor maps: one if the rows are not grouped
    int box_rows;
};

// The block's shared memory.
struct Memory {
    unsigned char* stage;
    Barrier *full, *empty;  // of each stage: it has arrived; it may be overwritten

    __device__ explicit Memory(void* memory) {
        stage = aligned_for_boxes(memory);
        full = reinterpret_cast<Barrier*>(stage + kStages * kStageBytes);
        empty = full + kStages;
    }
    __device__ void init_barriers() const {
        for (int i = 0; i < kStages; ++i) {
            hopper::init(full[i], 1);
            // Both blocks of the cluster write to both, so both wait for the readers of both.
            hopper::init(empty[i], kCluster * kConsumerWarps);
        }
        hopper::publish_barriers();
    }
};

// The block's channels, and its tiles of rows.
struct Share {
    int part, row0, column0, begin, end;

    __device__ explicit Share(const Pass& pass)
        : part(static_cast<int>(blockIdx.z)),
          row0(static_cast<int>(blockIdx.y) * kRows),
          column0(static_cast<int>(blockIdx.x) * kColumns) {
        const int count = pass.tiles.first_tile(pass.tiles.classes);
        begin = pass.to.first_tile(part, count);
        end = pass.to.first_tile(part + 1, count);
    }
};

// --- The warp that copies ------------------------------------------------------------------------

__device__ void produce(const Pass& pass, const Memory& memory, const Share& mine) {
    // A lane's box: one of this block's half of dout's chunks, or of z's, and up to 8 of rows.
    constexpr int kMyChunks = kChunksOfDout / kCluster;
    static_assert((kMyChunks + kChunksOfZ) * kDepth / 8 == 32);
    const int lane = static_cast<int>(threadIdx.x) % 32, chunk = lane / 8;
    const bool of_dout = chunk < kMyChunks;
    const int of_operand = of_dout
                               ? static_cast<int>(hopper::block_of_cluster()) * kMyChunks + chunk
                               : chunk - kMyChunks;
    const int channel = (of_dout ? mine.row0 : mine.column0) + of_operand * kOfChunk;
    const int line = lane % 8 * pass.box_rows;
    const int place =
        (of_dout ? of_operand : kChunksOfDout + of_operand) * kChunkBytes + line * kLineBytes;
    StageCursor at;
    for (int begin = mine.begin; begin < mine.end;) {
        const auto segment = pass.to.segment(pass.tiles, mine.part, begin, mine.end);
        const TileRows& rows = segment.rows;
#pragma unroll 1
        for (int first = rows.first; first < rows.end; first += kDepth, at.next(kStages)) {
            const int row = first + line;
            const auto [position, sample] = box_of_row(pass.samples, rows, row);
            Barrier& full = memory.full[at.stage];
            hopper::wait(memory.empty[at.stage], at.parity ^ 1);
            if (lane == 0) hopper::arrive_expecting(full, kStageBytes);
            hopper::converge();
            if (line >= kDepth) continue;
            unsigned char* const to = memory.stage + at.stage * kStageBytes + place;
            if (of_dout)
                hopper::copy_box_to((1u << kCluster) - 1, pass.dout, channel, position, sample, to,
                                    full);
            else
                hopper::copy_box(pass.z, channel, position, sample, to, full);
        }
        begin = segment.end;
    }
    hopper::converge();
}

// --- The warpgroups that multiply ----------------------------------------------------------------

// Sums of dout's channels for db, of the chunks that this block has. A warp has 8 channels of each,
// a lane two of them and every eighth row.
class SumsOfDout {
  public:
    // piece: the block's number among those with the same channels of dout, `pieces` in all.
    __device__ SumsOfDout(bool wanted, int piece, int pieces, int warp)
        : first_(wanted ? piece : kChunksOfDout), step_(pieces), warp_(warp) {}

    __device__ void add(const unsigned char* stage) {
        for (int i = 0, chunk = first_; chunk < kChunksOfDout; ++i, chunk += step_) {
            const unsigned char* const from = stage + chunk * kChunkBytes + row() * kLineBytes +
                                              (warp_ ^ row()) * 16 + 4 * pair();
            float low = 0, high = 0;
#pragma unroll
            for (int line = 0; line < kDepth; line += 8) {
                const auto two =
                    load<2>(reinterpret_cast<const bfloat16*>(from + line * kLineBytes));
                low += static_cast<float>(two.of[0]);
                high += static_cast<float>(two.of[1]);
            }
            (i == 0 ? sum_[0] : sum_[2]) += low;
            (i == 0 ? sum_[1] : sum_[3]) += high;
        }
        hopper::use_after_wait(sum_);  // the loads are complete before the stage is returned
    }
    // To db [channels], and back to 0. db begins at the block's channels.
    __device__ void store_and_clear(float* db) {
        for (int i = 0, chunk = first_; chunk < kChunksOfDout; ++i, chunk += step_) {
            const float low = sum_of_rows(i == 0 ? sum_[0] : sum_[2]),
                        high = sum_of_rows(i == 0 ? sum_[1] : sum_[3]);
            if (row() == 0)
                store(db + chunk * kOfChunk + 8 * warp_ + 2 * pair(), Pack<float, 2>{low, high});
        }
        for (float& sum : sum_) sum = 0;
    }

  private:
    __device__ static int row() {
        return static_cast<int>(threadIdx.x) % 32 / 4;
    }
    __device__ static int pair() {
        return static_cast<int>(threadIdx.x) % 4;
    }
    // Of the 8 lanes with the same channels.
    __device__ static float sum_of_rows(float value) {
        for (int distance = 4; distance < 32; distance *= 2)
            value += __shfl_xor_sync(~0u, value, distance);
        return value;
    }

    int first_, step_, warp_;
    float sum_[4] = {};
};

// A lane arrives for its warp.
__device__ __forceinline__ void release(const Memory& memory, int stage) {
    __syncwarp();  // all lanes have added up their part of dout
    const unsigned lane = threadIdx.x % 32;
    if (lane < kCluster) hopper::arrive_at(memory.empty[stage], lane);
}

// Adds the products of one stage to the warpgroup's sums.
__device__ __forceinline__ void multiply_stage(const unsigned char* stage, int consumer, bool add,
                                               float (&sum)[2][64]) {
    const auto dout = hopper::transposed_operand(
        hopper::shared_address(stage + 2 * consumer * kChunkBytes), kChunkBytes);
    const auto z = hopper::transposed_operand(
        hopper::shared_address(stage + kChunksOfDout * kChunkBytes), kChunkBytes);
    hopper::begin_products();
#pragma unroll
    for (int k = 0; k < kDepth / 16; ++k)
#pragma unroll
        for (int half = 0; half < 2; ++half)
            // Descriptors count in units of 16 bytes.
            hopper::multiply_transposed(sum[half],
                                        dout + (half * kChunkBytes + k * 16 * kLineBytes) / 16,
                                        z + k * 16 * kLineBytes / 16, add || k > 0);
    hopper::commit_products();
}

// `da` begins at the warpgroup's rows and the block's columns.
__device__ __forceinline__ void store_sums(const float (&sum)[2][64], int channels, float* da) {
    const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
    const int row = thread / 32 * 16 + thread % 32 / 4, column = 2 * (thread % 4);
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int h = 0; h < 2; ++h)
#pragma unroll
            for (int j = 0; j < kColumns / 8; ++j)
                store(da + std::int64_t{64 * half + row + 8 * h} * channels + 8 * j + column,
                      Pack<float, 2>{sum[half][4 * j + 2 * h], sum[half][4 * j + 2 * h + 1]});
}

__device__ void consume(const Pass& pass, const Memory& memory, const Share& mine, int consumer) {
    const int channels = pass.to.channels;
    SumsOfDout of_dout(pass.to.db != nullptr, static_cast<int>(blockIdx.x),
                       static_cast<int>(gridDim.x), static_cast<int>(threadIdx.x) / 32 - 4);
    StageCursor at;
    for (int begin = mine.begin; begin < mine.end;) {
        const auto [rows, end, place] = pass.to.segment(pass.tiles, mine.part, begin, mine.end);
        float sum[2][64];
        int stage_before = -1;
#pragma unroll 1
        for (int first = rows.first; first < rows.end; first += kDepth, at.next(kStages)) {
            const unsigned char* const stage = memory.stage + at.stage * kStageBytes;
            hopper::wait(memory.full[at.stage], at.parity);
            multiply_stage(stage, consumer, stage_before >= 0, sum);
            of_dout.add(stage);
            if (stage_before >= 0) {
                hopper::wait_for_products<1>();
                release(memory, stage_before);
            }
            stage_before = at.stage;
        }
        hopper::wait_for_products<0>();
        hopper::use_after_wait(sum[0]);
        hopper::use_after_wait(sum[1]);
        release(memory, stage_before);
        const std::int64_t row = mine.row0 + consumer * (kRows / kConsumers);
        store_sums(sum, channels, pass.to.of_a(place) + row * channels + mine.column0);
        if (pass.to.db) of_dout.store_and_clear(pass.to.of_b(place) + mine.row0);
        begin = end;
    }
}

__device__ void run(const Pass& pass) {
    CNPD_DYNAMIC_SHARED(unsigned char, raw);
    const Memory memory(raw);
    const Share mine(pass);
    if (threadIdx.x == 0) memory.init_barriers();
    hopper::cluster_barrier();  // both blocks' barriers exist
    const int group = static_cast<int>(threadIdx.x) / kWarpgroup;
    if (group == 0) {
        hopper::give_registers<kProducerRegisters>();
        if (threadIdx.x < 32) produce(pass, memory, mine);
    } else {
        hopper::take_registers<kConsumerRegisters>();
        consume(pass, memory, mine, group - 1);
    }
    hopper::cluster_barrier();  // no block ends while the other one writes to it
}

// blockIdx: 128 columns of da, 256 rows, part.
__global__ void CNPD_CLUSTER(kCluster) __launch_bounds__(kThreads, 1)
    sum_boxes(const __grid_constant__ Pass pass) {
#ifdef CNPD_HOPPER
    run(pass);
#else
    __trap();  // instead of leaving the sums unwritten
#endif
}

}  // namespace

bool polarizer_wgrad_v7_supports(const PolarizerShape& s, bool grouped) {
    static const bool runs = has_hopper_code(sum_boxes, "polarizer_wgrad_v7");
    return runs && s.channels % kRows == 0 &&
           hopper_tiles::boxes_fit(s.channels, s.n * s.positions, s.positions, grouped);
}

void polarizer_wgrad_v7(const PolarizerShape& shape, const bfloat16* z, const bfloat16* dout,
                        const PolarizerSamples& samples, float* da, float* db, int parts) {
    const bool grouped = is_grouped(shape, samples);
    if (is_empty(shape) || !polarizer_wgrad_v7_supports(shape, grouped) ||
        !rows_are_aligned<bfloat16>(shape.channels, {z, dout}) ||
        !rows_are_aligned<float>(shape.channels, {da, db}))
        return polarizer_wgrad_v6(shape, z, dout, samples, da, db, parts);
    const int rows_of_box = static_cast<int>(hopper_tiles::box_rows(shape.positions, grouped));
    const unsigned down = ceil_div(shape.channels, kRows),
                   across = ceil_div(shape.channels, kColumns);
    const ClassTiles tiles = class_tiles(shape, samples);
    const std::int64_t wanted = parts > 0 ? parts : kMultiprocessors / (down * across);
    sum_in_parts("polarizer_wgrad_v7", shape, tiles, wanted, da, db, [&](const RowSums& to) {
        const hopper::TensorBoxes boxes = feature_boxes(shape, grouped, rows_of_box);
        const Pass pass{.dout = hopper::tensor_map(dout, boxes),
                        .z = hopper::tensor_map(z, boxes),
                        .tiles = tiles,
                        .to = to,
                        .samples = grouped ? static_cast<int>(shape.n) : 1,
                        .box_rows = rows_of_box};
        launch({.name = "polarizer_wgrad_v7",
                .grid = {across, down, static_cast<unsigned>(to.parts)},
                .block = kThreads,
                .dynamic_shared = kSharedBytes,
                .cluster = kCluster},
               sum_boxes, pass);
    });
}

}  // namespace cnpd::kernels::cuda
