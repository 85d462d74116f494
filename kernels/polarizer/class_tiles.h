// The tiles of a grouped product: which rows of [N P, C] they have, and which map. For .cu files.
#pragma once

#include "kernels/common/cuda.h"
#include "kernels/polarizer/grouping.h"

namespace cnpd::kernels::cuda {

// Rows [first, end) of the rows of one class's samples, one sample after the other. (There are
// fewer than 2^31 rows: dividing 64-bit numbers takes 60 instructions.)
struct TileRows {
    const std::int32_t* order;  // the class's samples; null: all samples, in memory order
    int first, end, positions, label;

    __device__ bool has(int row) const { return row < end; }
    // Index in [N P, C] of line 0 to 127 of the tile; negative: no such row.
    __device__ int place_of_line(int line) const {
        return has(first + line) ? place(first + line) : -1;
    }
    // Index of the row in [N P, C].
    __device__ int place(int row) const {
        return order ? order[row / positions] * positions + row % positions : row;
    }
};

// The tiles of a batch, in the order of their classes.
struct ClassTiles {
    Groups groups;  // order null: one class, no sorting
    int classes, positions, rows;

    // False for surplus tiles: the host only knows an upper limit of their number.
    __device__ bool exists(int tile) const { return !groups.order || groups.tile[tile].x >= 0; }
    // The class of a tile and its number among that class's tiles.
    __device__ int2 entry(int tile) const {
        return groups.order ? groups.tile[tile] : make_int2(0, tile);
    }
    // All rows of a class.
    __device__ TileRows rows_of_class(int label) const {
        if (!groups.order) return {nullptr, 0, rows, positions, 0};
        const int begin = groups.first[label], end = groups.first[label + 1];
        return {groups.order + begin, 0, (end - begin) * positions, positions, label};
    }
    // The tile's rows start at `first`; `end` is the end of the class.
    __device__ TileRows rows_of(int2 entry) const {
        TileRows of = rows_of_class(entry.x);
        of.first = entry.y * kTileRows;
        return of;
    }
    __device__ TileRows at(int tile) const { return rows_of(entry(tile)); }
    // Where a class's tiles begin; label = classes: the number of all tiles.
    __device__ int first_tile(int label) const {
        if (groups.order) return groups.first_tile[label];
        return label == 0 ? 0 : (rows + kTileRows - 1) / kTileRows;
    }
};

inline ClassTiles class_tiles(const PolarizerShape& s, const PolarizerSamples& samples) {
    ClassTiles tiles{{},
                     static_cast<int>(s.classes),
                     static_cast<int>(s.positions),
                     static_cast<int>(s.n * s.positions)};
    if (!samples.labels || s.classes == 1) return tiles;
    require_groups(samples);
    tiles.groups = groups_in(s, const_cast<std::int32_t*>(samples.groups));
    return tiles;
}

// An upper limit of the number of tiles.
inline unsigned count_tiles(const PolarizerShape& s, const ClassTiles& tiles) {
    return tiles.groups.order ? static_cast<unsigned>(most_tiles(s))
                              : ceil_div(s.n * s.positions, kTileRows);
}

inline bool is_empty(const PolarizerShape& s) {
    return s.n == 0 || s.positions == 0 || s.channels == 0;
}

}  // namespace cnpd::kernels::cuda
