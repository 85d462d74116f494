// The samples of a batch, sorted by label: for callers of the GPU's products. Done once for each
// tensor of labels; all products with these labels share the result. The CPU loops over samples
// instead.
#pragma once

#include <cstdint>

#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels {

// Rows of a tile; all rows of a tile are of samples with the same label.
inline constexpr int kTileRows = 128;

// The host does not know the labels. This is an upper limit of the number of tiles: every class may
// end with a partial tile.
CNPD_HOST_DEVICE constexpr std::int64_t most_tiles(const PolarizerShape& s) {
    return s.n * s.positions / kTileRows + (s.classes < s.n ? s.classes : s.n);
}

// Number of int32 of the groups.
constexpr std::int64_t group_words(const PolarizerShape& s) {
    return 2 * most_tiles(s) + s.n + 2 * (s.classes + 1);
}

// Throw Error if a launch lacks what it needs: nvcc cannot compile error.h.
void require_groups(const PolarizerSamples& samples);
void require_transposed(const void* transposed);

namespace cuda {
// Writes group_words(shape) integers, aligned to 8 bytes. Labels int32 [N]; null: all 0. A sample
// whose label is outside of [0, classes) is in no class and no tile. One launch whose grid depends
// on the shape alone, so a graph can replay it with other labels.
void group_samples(const PolarizerShape& shape, const std::int32_t* labels, std::int32_t* words);
}  // namespace cuda

}  // namespace cnpd::kernels
