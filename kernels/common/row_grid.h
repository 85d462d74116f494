// Kernels over matrices [rows,columns] in which a thread keeps its columns and loops over the rows.
#pragma once

#include <algorithm>

#include "kernels/common/grid.h"

namespace cnpd::kernels {

// for (std::int64_t c = Width * threadIdx.x; c < columns; c += Width * blockDim.x)
//     for (std::int64_t r = first_row(); r < rows; r += rows_at_once())
__device__ inline std::int64_t first_row() {
    return static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
}
__device__ inline std::int64_t rows_at_once() {
    return static_cast<std::int64_t>(gridDim.x) * blockDim.y;
}

// As wide as a row of `packs` accesses, up to a limit, and as high as fills the block. A block's
// accesses are then contiguous for any width, and a thread gets its row and column from the
// hardware instead of a division.
inline dim3 row_block(std::int64_t packs) {
    constexpr std::int64_t kThreads = 256;
    const std::int64_t passes = std::max<std::int64_t>((packs + kThreads - 1) / kThreads, 1);
    const std::int64_t width = std::max<std::int64_t>((packs + passes - 1) / passes, 1);
    return {static_cast<unsigned>(width), static_cast<unsigned>(kThreads / width)};
}

// Enough blocks for `rows` > 0, or to fill the GPU several times.
inline LaunchShape rows_shape(const char* name, std::int64_t rows, std::int64_t packs) {
    constexpr std::int64_t kMostBlocks = kMultiprocessors * 32;
    const dim3 block = row_block(packs);
    const std::int64_t blocks = std::min((rows + block.y - 1) / block.y, kMostBlocks);
    return {.name = name, .grid = static_cast<unsigned>(blocks), .block = block};
}

}  // namespace cnpd::kernels
