// Reductions of the columns of a matrix [rows,columns]: a block sums a slab of the rows of a tile
// of the columns, its threads in accesses of Width columns. A second kernel combines the slabs'
// results, a warp per column. The order depends on the shape and on alignment alone, so results are
// reproducible.
#pragma once

#include <algorithm>

#include "kernels/common/row_grid.h"

namespace cnpd::kernels {

constexpr int kSlabThreads = 256;  // at most

struct ColumnSlabs {
    dim3 block;
    unsigned tiles;
    std::int64_t count;

    LaunchShape shape(const char* name) const {
        return {.name = name, .grid = {static_cast<unsigned>(count), tiles}, .block = block};
    }
};
// A slab is large enough for a block if every thread has some rows; 8 blocks fill a multiprocessor.
inline ColumnSlabs column_slabs(std::int64_t rows, std::int64_t columns, int width) {
    constexpr std::int64_t kRowsOfThread = 16, kMostBlocks = kMultiprocessors * 8;
    const dim3 block = row_block(columns / width);
    const unsigned tiles = ceil_div(columns, width * block.x);
    const std::int64_t slabs = std::clamp<std::int64_t>(
        rows / (kRowsOfThread * block.y), 1, std::max<std::int64_t>(kMostBlocks / tiles, 1));
    return {block, tiles, slabs};
}

struct SlabRows {
    std::int64_t begin, end;
};
__device__ inline SlabRows rows_of_slab(std::int64_t slab, std::int64_t slabs, std::int64_t rows) {
    return {rows * slab / slabs, rows * (slab + 1) / slabs};
}

// The first of a thread's columns.
template <int Width>
__device__ std::int64_t first_column() {
    return Width * (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x);
}
__device__ inline int thread_of_slab() {
    return static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
}

// To be called after every thread has stored the numbers of its columns at Width * thread_of_slab()
// of an array. Calls visit(column, at) for each column of the block's tile, by one thread. The
// numbers of its blockDim.y threads are at `at`, at + Width * blockDim.x and so on.
template <int Width, typename Visit>
__device__ void for_each_column_of_tile(std::int64_t columns, const Visit& visit) {
    const int width = Width * static_cast<int>(blockDim.x);
    for (int at = thread_of_slab(); at < width; at += static_cast<int>(blockDim.x * blockDim.y)) {
        const std::int64_t column = static_cast<std::int64_t>(blockIdx.y) * width + at;
        if (column < columns) visit(column, at);
    }
}

// Calls visit(column) in every lane of the warp that handles the column.
template <typename Visit>
__device__ void for_each_column_of_warp(std::int64_t columns, const Visit& visit) {
    for (std::int64_t c = first_element() / 32; c < columns; c += elements_at_once() / 32) visit(c);
}

}  // namespace cnpd::kernels
