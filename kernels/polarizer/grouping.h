// What group_samples (group_layout.h) writes: the samples of a batch sorted by label, and the tiles
// of a grouped matrix product, 128 rows of [N P, C] with the same map. For .cu files.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"
#include "kernels/common/cuda.h"
#include "kernels/polarizer/group_layout.h"
#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels::cuda {

// The parts of a batch's groups, in one buffer.
struct Groups {
    int2* tile;                // [most_tiles] class of a tile and its number in the class; -1: none
    std::int32_t* order;       // [N] samples sorted by class, stable; -1 behind the last
    std::int32_t* first;       // [classes + 1] where each class begins in `order`
    std::int32_t* first_tile;  // [classes + 1] where each class begins in `tile`
};

inline Groups groups_in(const PolarizerShape& s, std::int32_t* words) {
    Groups groups;
    groups.tile = reinterpret_cast<int2*>(words);
    groups.order = words + 2 * most_tiles(s);
    groups.first = groups.order + s.n;
    groups.first_tile = groups.first + s.classes + 1;
    return groups;
}

}  // namespace cnpd::kernels::cuda
