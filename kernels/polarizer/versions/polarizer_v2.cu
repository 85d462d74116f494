// Version 2: tiles in shared memory. A block computes 32 rows by 32 channels, a thread one output.
// 32 x 32 pieces of the features and of the map are copied to shared memory, where each element is
// used 32 times.
//
// Global loads are whole lines and 1/32 of version 1's: C/4 bytes per output. The limit is shared
// memory: a multiply-add needs two words from it, and a multiprocessor gets 32 words (one
// wavefront) per clock. A warp's read of the features is one word for all of its threads, but also
// costs a wavefront. Prediction: 32 multiply-adds in 2 clocks, 16 of 128, 12 % of the peak: 4 times
// version 1.
//
// The map's tile has 33 columns. Threads of a warp read a column of it. With 32 columns, a column
// would be in one bank: 32 wavefronts per read instead of one, 16 times slower. The emulator's
// trace counts this (tests/kernels/polarizer_inference_test.cpp).
#include "kernels/polarizer/class_tiles.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kTile = 32;
constexpr int kParts = kTileRows / kTile;  // blocks that share a tile of rows

template <int Padding>
__global__ void __launch_bounds__(kTile* kTile)
    shared_tiles(ClassTiles tiles, std::int64_t channels, const float* z, const float* a,
                 const float* bias, float* out) {
    __shared__ float features[kTile][kTile], map[kTile][kTile + Padding];
    const auto index = static_cast<int>(blockIdx.x / kParts);
    if (!tiles.exists(index)) return;  // the whole block
    const TileRows rows = tiles.at(index);
    const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
    const int row = rows.first + static_cast<int>(blockIdx.x % kParts) * kTile + y;
    const std::int64_t column0 = std::int64_t{blockIdx.y} * kTile;
    const bool has_row = rows.has(row), has_line = column0 + y < channels;
    const float* const my_features = z + (has_row ? rows.place(row) : 0) * channels;
    const float* const my_line = a + (rows.label * channels + column0 + y) * channels;

    float sum = 0;
    for (std::int64_t k0 = 0; k0 < channels; k0 += kTile) {
        const bool has_k = k0 + x < channels;
        features[y][x] = has_row && has_k ? my_features[k0 + x] : 0.0f;
        map[y][x] = has_line && has_k ? my_line[k0 + x] : 0.0f;
        __syncthreads();
#pragma unroll 8  // more does not fit into the registers of 1024 threads
        for (int k = 0; k < kTile; ++k) sum += features[y][k] * map[x][k];
        __syncthreads();
    }

    const std::int64_t c = column0 + x;
    if (!has_row || c >= channels) return;
    out[rows.place(row) * channels + c] = bias ? sum + bias[rows.label * channels + c] : sum;
}

template <int Padding>
void run(const char* name, const PolarizerShape& shape, const float* z,
         const PolarizerSamples& samples, const PolarizerMaps<float>& maps, float* out) {
    if (is_empty(shape)) return;
    const ClassTiles tiles = class_tiles(shape, samples);
    launch({.name = name,
            .grid = {count_tiles(shape, tiles) * kParts, ceil_div(shape.channels, kTile)},
            .block = {kTile, kTile}},
           shared_tiles<Padding>, tiles, shape.channels, z, maps.a, maps.b, out);
}

}  // namespace

void polarizer_v2(const PolarizerShape& shape, const float* z, const PolarizerSamples& samples,
                  const PolarizerMaps<float>& maps, float* out) {
    run<1>("polarizer_v2", shape, z, samples, maps, out);
}

void polarizer_v2_unpadded(const PolarizerShape& shape, const float* z,
                           const PolarizerSamples& samples, const PolarizerMaps<float>& maps,
                           float* out) {
    run<0>("polarizer_v2_unpadded", shape, z, samples, maps, out);
}

}  // namespace cnpd::kernels::cuda
