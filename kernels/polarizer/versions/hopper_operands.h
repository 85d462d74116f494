// The operands of versions 7 to 10, and of the gradient of the maps, as the copy engine sees them:
// a tensor map of the features, one of the maps, and the boxes of a tile; and what their kernels
// share. For .cu files.
#pragma once

#include <cstdint>

#include "kernels/common/hopper.h"
#include "kernels/polarizer/class_tiles.h"
#include "kernels/polarizer/operands.h"
#include "kernels/polarizer/versions/hopper_tiles.h"

#ifdef __CUDACC__
#pragma nv_diag_suppress 177  // for other architectures the kernels are empty and call none of this
#endif

namespace cnpd::kernels::cuda {

static_assert(hopper_tiles::kRows == kTileRows);

// A warpgroup of wgmma. Where warps are specialised, one warpgroup copies and two multiply.
inline constexpr int kWarpgroup = 128, kConsumers = 2, kThreads = (1 + kConsumers) * kWarpgroup;
// 384 threads start with 168 registers each; redistribution does not increase the total.
inline constexpr int kProducerRegisters = 56, kConsumerRegisters = 224;
static_assert(kProducerRegisters + kConsumers * kConsumerRegisters == (1 + kConsumers) * 168);

// The first address of a block's dynamic shared memory where boxes may begin.
__device__ inline unsigned char* aligned_for_boxes(void* memory) {
    constexpr std::uint32_t kAlignment = hopper_tiles::kAlignment;
    return static_cast<unsigned char*>(memory) +
           (kAlignment - hopper::shared_address(memory) % kAlignment) % kAlignment;
}

struct BoxedOperands {
    hopper::TensorMap features, maps;
    int samples, channels;  // of the tensor map: one sample if the rows are not grouped
    int box_rows;

    __device__ int chunks() const { return channels / hopper_tiles::kDepth; }
};

struct BoxPlace {
    int position, sample;
};
// The box of features that begins at a row of the tile's class, in a tensor of so many samples.
__device__ inline BoxPlace box_of_row(int samples, const TileRows& rows, int row) {
    // Outside of the tensor: the copy engine writes zeros.
    if (!rows.has(row)) return {0, samples};
    if (!rows.order) return {row, 0};
    return {row % rows.positions, rows.order[row / rows.positions]};
}

// Box `i` of a chunk of the map of a class: 64 k of the 128 channels from column0 on.
__device__ inline void copy_map_box(const BoxedOperands& operands, int label, int column0,
                                    int chunk, int i, unsigned char* to, hopper::Barrier& full) {
    using namespace hopper_tiles;
    const MapBox box = map_box(i);
    hopper::copy_box(operands.maps, chunk * kDepth, 0, box.j,
                     (label * operands.channels + column0) / 8 + box.q, to + box.line * kLineBytes,
                     full);
}

// The stage of a chunk that is copied or multiplied, and the parity of its barriers' phase.
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

// Compilers reject the attribute when compiling for GPUs without clusters.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define CNPD_CLUSTER(blocks)
#else
#define CNPD_CLUSTER(blocks) __cluster_dims__(blocks, 1, 1)
#endif

// --- On the host ---------------------------------------------------------------------------------

inline hopper::TensorBoxes feature_boxes(const PolarizerShape& s, bool grouped, int box_rows) {
    const std::int64_t samples = grouped ? s.n : 1;
    const auto positions = static_cast<std::uint64_t>(s.n * s.positions / samples);
    const auto line = static_cast<std::uint64_t>(s.channels) * sizeof(bfloat16);
    return {.rank = 3,
            .size = {static_cast<std::uint64_t>(s.channels), positions,
                     static_cast<std::uint64_t>(samples)},
            .stride = {line, line * positions},
            .box = {hopper_tiles::kDepth, static_cast<std::uint32_t>(box_rows), 1}};
}

inline hopper::TensorBoxes map_boxes(const PolarizerShape& s) {
    const auto channels = static_cast<std::uint64_t>(s.channels);
    const std::uint64_t line = channels * sizeof(bfloat16);
    return {.rank = 4,
            .size = {channels, 2, 4, static_cast<std::uint64_t>(s.classes) * channels / 8},
            .stride = {line, 2 * line, 8 * line},
            .box = {hopper_tiles::kDepth, 2, 1, 4}};
}

inline BoxedOperands boxed_operands(const PolarizerShape& s, const bfloat16* z,
                                    const bfloat16* maps, bool grouped) {
    const int rows = static_cast<int>(hopper_tiles::box_rows(s.positions, grouped));
    return {.features = hopper::tensor_map(z, feature_boxes(s, grouped, rows)),
            .maps = hopper::tensor_map(maps, map_boxes(s)),
            .samples = grouped ? static_cast<int>(s.n) : 1,
            .channels = static_cast<int>(s.channels),
            .box_rows = rows};
}

inline bool is_grouped(const PolarizerShape& s, const PolarizerSamples& samples) {
    return samples.labels && s.classes > 1;
}
inline bool is_aligned(const PolarizerShape& s, const bfloat16* z,
                       const PolarizerMaps<bfloat16>& maps, const bfloat16* out) {
    return rows_are_aligned<bfloat16>(s.channels, {z, maps.a, out}) &&
           rows_are_aligned<float>(s.channels, {maps.b});
}

// Whether a kernel has a body here: a Hopper GPU may also run code that was compiled for older
// GPUs.
template <typename... Parameters>
bool has_hopper_code([[maybe_unused]] void (*kernel)(Parameters...),
                     [[maybe_unused]] const char* name) {
#ifdef CNPD_EMULATED
    return true;
#else
    if (gpu::properties().compute_major != 9) return false;
    cudaFuncAttributes of{};
    gpu::check(cudaFuncGetAttributes(&of, kernel), name);
    return of.ptxVersion >= 90;
#endif
}

}  // namespace cnpd::kernels::cuda
