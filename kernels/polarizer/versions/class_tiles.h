// Shared by all versions of the inference kernel: a block's rows of [N P, C] and their map, and the
// epilogue. For .cu files.
#pragma once

#include <optional>

#include "kernels/common/bfloat16.h"
#include "kernels/common/cuda.h"
#include "kernels/common/device_workspace.h"
#include "kernels/polarizer/grouping.h"
#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels::cuda {

// The rows of one tile: rows [first, end) of the rows of one class's samples, one sample after the
// other. (There are fewer than 2^31 rows: dividing 64-bit numbers takes 60 instructions.)
struct TileRows {
    const std::int32_t* order;  // the class's samples; null: all samples, in memory order
    int first, end, positions, label;

    __device__ bool has(int row) const { return row < end; }
    __device__ int sample(int row) const {
        const int slot = row / positions;
        return order ? order[slot] : slot;
    }
    // Index of the row in [N P, C].
    __device__ int place(int row) const {
        return order ? order[row / positions] * positions + row % positions : row;
    }
};

// The tiles of a batch, in the order of their classes.
struct ClassTiles {
    Groups groups;  // order null: one class, no sorting
    int positions, rows, rows_of_tile;

    // False for surplus tiles: the host only knows an upper limit of their number.
    __device__ bool exists(std::int64_t tile) const {
        return !groups.order || groups.tile[tile].x >= 0;
    }
    // The class of a tile and its number among that class's tiles.
    __device__ int2 entry(std::int64_t tile) const {
        return groups.order ? groups.tile[tile] : make_int2(0, static_cast<int>(tile));
    }
    __device__ TileRows rows_of(int2 entry) const {
        const int row0 = entry.y * rows_of_tile;
        if (!groups.order) return {nullptr, row0, rows, positions, 0};
        const int begin = groups.first[entry.x], end = groups.first[entry.x + 1];
        return {groups.order + begin, row0, (end - begin) * positions, positions, entry.x};
    }
    __device__ TileRows at(std::int64_t tile) const { return rows_of(entry(tile)); }
};

// Epilogue of a sum.
struct InferenceEpilogue {
    const float* bias;     // [classes,C]
    const float* weights;  // [N] or null
    bool accumulate;

    __device__ float weight(int sample) const { return weights ? weights[sample] : 1.0f; }
};

// ClassTiles in scratch memory. With one class, or no labels, no kernel runs.
class TilePlan {
  public:
    TilePlan(const PolarizerShape& s, const std::int32_t* labels, int rows_of_tile)
        : tiles_{{nullptr, nullptr, nullptr},
                 static_cast<int>(s.positions),
                 static_cast<int>(s.n * s.positions),
                 rows_of_tile},
          count_((tiles_.rows + rows_of_tile - 1) / rows_of_tile) {
        if (!labels || s.classes == 1) return;
        const GroupShape shape{.samples = s.n,
                               .classes = s.classes,
                               .rows_of_sample = s.positions,
                               .rows_of_tile = rows_of_tile};
        count_ = shape.most_tiles();
        order_.emplace(sizeof(std::int32_t) * static_cast<std::size_t>(s.n));
        first_.emplace(sizeof(std::int32_t) * static_cast<std::size_t>(s.classes + 1));
        tile_.emplace(sizeof(int2) * static_cast<std::size_t>(count_));
        tiles_.groups = {order_->as<std::int32_t>(), first_->as<std::int32_t>(), tile_->as<int2>()};
        group_by_label(labels, shape, tiles_.groups);
    }
    const ClassTiles& tiles() const { return tiles_; }
    std::int64_t count() const { return count_; }  // upper limit

  private:
    ClassTiles tiles_;
    std::int64_t count_;
    std::optional<DeviceWorkspace> order_, first_, tile_;
};

inline bool is_empty(const PolarizerShape& s) {
    return s.n == 0 || s.positions == 0 || s.channels == 0;
}

}  // namespace cnpd::kernels::cuda
