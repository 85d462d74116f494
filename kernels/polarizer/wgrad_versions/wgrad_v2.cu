// Version 2: tiles in shared memory. A block computes 32 by 32 elements of a class's da, a thread
// one. 32 rows of 32 channels of dout and of z are copied to shared memory, where each element is
// used 32 times.
//
// Global loads are 1/16 of version 1's. The limit is shared memory: a multiply-add needs two words
// from it, and a multiprocessor gets 32 words (one wavefront) per clock. A warp's read of dout is
// one word for all of its threads, but also costs a wavefront. Prediction: 32 multiply-adds in 2
// clocks, 12 % of the peak: no faster than version 1. But it does not depend on the L1 cache, and
// it asks the L2 cache for 4.3 GB at C = 512 and 65,536 rows, 0.8 ms.
//
// Rows are stored as they come from memory, k outermost, so that both reads are along lines:
// without padding there are no bank conflicts. (The forward's version 2 needs it for the map.)
#include "kernels/polarizer/class_tiles.h"
#include "kernels/polarizer/wgrad_versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kTile = 32;

// blockIdx: tile column, tile row, class.
__global__ void __launch_bounds__(kTile* kTile)
    shared_tiles(ClassTiles tiles, int channels, const float* z, const float* dout, float* da,
                 float* db) {
    __shared__ float of_dout[kTile][kTile], of_z[kTile][kTile];
    const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
    const int row0 = static_cast<int>(blockIdx.y) * kTile,
              column0 = static_cast<int>(blockIdx.x) * kTile;
    const auto label = static_cast<int>(blockIdx.z);
    TileRows rows = tiles.rows_of_class(label);
    if (tiles.first_tile(label) == tiles.first_tile(label + 1)) rows.end = 0;
    float sum = 0, sum_of_dout = 0;
    for (int first = 0; first < rows.end; first += kTile) {
        const int row = first + y;
        const std::int64_t at = std::int64_t{rows.has(row) ? rows.place(row) : 0} * channels;
        of_dout[y][x] = rows.has(row) && row0 + x < channels ? dout[at + row0 + x] : 0.0f;
        of_z[y][x] = rows.has(row) && column0 + x < channels ? z[at + column0 + x] : 0.0f;
        __syncthreads();
#pragma unroll 8  // more does not fit into the registers of 1024 threads
        for (int k = 0; k < kTile; ++k) {
            sum += of_dout[k][y] * of_z[k][x];
            sum_of_dout += of_dout[k][y];
        }
        __syncthreads();
    }

    if (row0 + y >= channels) return;
    const std::int64_t row = std::int64_t{label} * channels + row0 + y;
    if (column0 + x < channels) da[row * channels + column0 + x] = sum;
    if (db && column0 + x == 0) db[row] = sum_of_dout;
}

}  // namespace

void polarizer_wgrad_v2(const PolarizerShape& shape, const float* z, const float* dout,
                        const PolarizerSamples& samples, float* da, float* db, int) {
    if (shape.channels == 0 || shape.classes == 0) return;
    const unsigned pieces = ceil_div(shape.channels, kTile);
    launch({.name = "polarizer_wgrad_v2",
            .grid = {pieces, pieces, static_cast<unsigned>(shape.classes)},
            .block = {kTile, kTile}},
           shared_tiles, class_tiles(shape, samples), static_cast<int>(shape.channels), z, dout, da,
           db);
}

}  // namespace cnpd::kernels::cuda
