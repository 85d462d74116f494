// The index arithmetic of versions 6 to 10 that needs no GPU: the order of a map's lines, the
// layout of shared memory, the blocks' shares of the result, the copied boxes. Tested on the host
// (tests/kernels/hopper_tiles_test.cpp).
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels::hopper_tiles {

constexpr int kRows = 128, kColumns = 128;  // of a tile of the result
constexpr int kDepth = 64;                  // k of a chunk: one 128-byte line of shared memory
constexpr int kLineBytes = 2 * kDepth, kChunkBytes = kRows * kLineBytes;
static_assert(kRows == kColumns);  // chunks of features and of maps are of one size

// --- Channels ------------------------------------------------------------------------------------

// A thread's sums are columns 8 j + 2 q + e of the tile: j = 0 to 15, q its lane modulo 4, e = 0 or
// 1. The channel of a column can be chosen freely, because each column is a line of the map in
// shared memory, and the copy can put any line anywhere. With this choice a thread has, for four
// neighbouring j, eight neighbouring channels, which are one store of 16 bytes:
CNPD_HOST_DEVICE constexpr int channel_of_column(int column) {
    const int group = column / 32, j = column % 32 / 8, q = column % 8 / 2, e = column % 2;
    return 32 * group + 8 * q + 2 * j + e;
}
// For the copy engine a map is [C/8, 4, 2, C] (q and group, j, e, k). The box of one j and four q
// is 8 lines of shared memory. A chunk of a map is 16 such boxes.
constexpr int kMapBoxes = 16, kMapBoxLines = 8;
struct MapBox {
    int q, j;  // where the box begins
    int line;  // its first line in the chunk
};
CNPD_HOST_DEVICE constexpr MapBox map_box(int i) {
    return {4 * (i / 4), i % 4, 32 * (i / 4) + kMapBoxLines * (i % 4)};
}

// --- Shared memory -------------------------------------------------------------------------------

// Versions 9 and 10: a block's piece of the map, all k of 128 channels, stays in shared memory;
// chunks of features are streamed through the rest.
constexpr int kBlockBytes = 227 << 10;  // limit of a block on Hopper
constexpr int kAlignment = 1024, kBarrierBytes = 512, kMostStages = 8, kLeastStages = 4;
constexpr int kMostChunks = 10;

CNPD_HOST_DEVICE constexpr int stages(int chunks) {
    const int room = kBlockBytes - kAlignment - kBarrierBytes - chunks * kChunkBytes;
    return room / kChunkBytes < kMostStages ? room / kChunkBytes : kMostStages;
}
CNPD_HOST_DEVICE constexpr int shared_bytes(int chunks) {
    return kAlignment + (chunks + stages(chunks)) * kChunkBytes + kBarrierBytes;
}
static_assert(stages(kMostChunks) >= kLeastStages);

// --- Supported shapes ----------------------------------------------------------------------------

// Boxes of features: at most 64 positions of one sample, whole groups of 8 lines (the swizzle's
// period), and no box extends beyond the end of a sample. Without grouping a batch is one sample.
constexpr int kMostBoxRows = 64;
constexpr std::int64_t box_rows(std::int64_t positions, bool grouped) {
    return grouped ? std::min<std::int64_t>(positions, kMostBoxRows) : kMostBoxRows;
}
constexpr bool boxes_fit(std::int64_t channels, std::int64_t rows, std::int64_t positions,
                         bool grouped) {
    const bool of_rows =
        !grouped ||
        (positions % 8 == 0 && (kMostBoxRows % positions == 0 || positions % kMostBoxRows == 0));
    return channels % kColumns == 0 && of_rows && rows < std::int64_t{1} << 31;
}
// Whether a piece of the map fits as well.
constexpr bool map_fits(std::int64_t channels) {
    return channels / kDepth <= kMostChunks;
}

// --- Distribution of the work --------------------------------------------------------------------

// Of versions 9 and 10. Clusters consist of neighbouring blocks in x. A cluster's blocks have
// neighbouring pieces of the map and the same rows. The order of the clusters makes those that need
// the same rows run at the same time, so that the later one finds the rows in the L2 cache.
struct Share {
    int column0;  // of the block's piece of the map
    int part;     // of the tiles
};
CNPD_HOST_DEVICE constexpr Share share(int block, int cluster, int pieces) {
    const int groups = pieces / cluster;
    return {(block / cluster % groups * cluster + block % cluster) * kColumns,
            block / cluster / groups};
}
// Neighbouring tiles go to the same block: tiles are sorted by class, so a block seldom changes its
// map.
CNPD_HOST_DEVICE constexpr int part_begin(int tiles, int part, int parts) {
    return static_cast<int>(std::int64_t{tiles} * part / parts);
}

}  // namespace cnpd::kernels::hopper_tiles
