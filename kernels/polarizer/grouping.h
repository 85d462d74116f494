// Sorts the samples of a batch by class, and lists the tiles of a grouped matrix product. CUDA
// only: the CPU loops over samples.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"
#include "kernels/common/cuda.h"

namespace cnpd::kernels::cuda {

// Fewer than 2^31 rows.
struct GroupShape {
    std::int64_t samples = 0, classes = 1, rows_of_sample = 1, rows_of_tile = 1;

    // Every class may end with a partial tile.
    CNPD_HOST_DEVICE std::int64_t most_tiles() const {
        return samples * rows_of_sample / rows_of_tile + (classes < samples ? classes : samples);
    }
};

struct Groups {
    std::int32_t* order;  // [samples] samples sorted by class, stable; -1 behind the last
    std::int32_t* first;  // [classes + 1] where each class begins in `order`
    int2* tile;           // [most_tiles()] class of a tile and its number in the class; -1: none
    std::int32_t* first_tile = nullptr;  // [classes] where each class begins in `tile`; or null
};

// Labels int32 [samples]; null: all 0. A sample whose label is outside of [0, classes) is in no
// class and no tile. One launch whose grid depends on the shape alone, so a graph can replay it
// with other labels.
void group_by_label(const std::int32_t* labels, const GroupShape& shape, const Groups& groups);

}  // namespace cnpd::kernels::cuda
