// Folding, and the choice of the kernel for products with the samples' maps. Rows are positions,
// sorted by their sample's class, so that all rows of a tile share one map. 2 N P C^2 FLOP over
// 8 N P C bytes, or 4 N P C in bfloat16.
#include "kernels/polarizer/polarizer.h"

#include "kernels/common/cuda.h"
#include "kernels/common/grid.h"
#include "kernels/common/square_tile.h"
#include "kernels/common/tf32.h"
#include "kernels/common/warp_reduce.h"
#include "kernels/polarizer/group_layout.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

// blockIdx: tile column, tile row, class.
template <typename T>
__global__ void __launch_bounds__(SquareTile::kSide* SquareTile::kRowsAtOnce)
    fold(int channels, PolarizerParameters p, T* a, T* transposed, float* b) {
    const std::int64_t row0 = std::int64_t{blockIdx.z} * channels;  // of the class
    const int i0 = static_cast<int>(blockIdx.y) * SquareTile::kSide,
              j0 = static_cast<int>(blockIdx.x) * SquareTile::kSide;
    const int j = j0 + SquareTile::column();
    float folded[SquareTile::kRows] = {};
#pragma unroll
    for (int r = 0; r < SquareTile::kRows; ++r) {
        const int i = i0 + SquareTile::row(r);
        if (i >= channels) break;
        const std::int64_t row = row0 + i;
        const float scale = p.gamma[row] / sqrtf(p.variance[row] + p.eps);
        if (b && j == 0) b[row] = p.beta[row] - p.mean[row] * scale;
        if (j < channels) folded[r] = scale * p.weight[row * channels + j];
    }
    const std::int64_t map = row0 * channels;
    SquareTile::store(folded, channels, i0, j0, a + map, transposed ? transposed + map : nullptr);
}

// A warp for each row of all maps.
__global__ void fold_backward(std::int64_t rows, std::int64_t channels, PolarizerParameters p,
                              const float* da, float* dweight, float* dgamma) {
    const std::int64_t row = first_element() / 32;
    if (row >= rows) return;  // whole warps
    const float inverse_std = 1 / sqrtf(p.variance[row] + p.eps);
    const float scale = p.gamma[row] * inverse_std;
    float dscale = 0;
    for (std::int64_t i = row * channels + threadIdx.x % 32; i < (row + 1) * channels; i += 32) {
        dscale += da[i] * p.weight[i];
        dweight[i] = scale * da[i];
    }
    dscale = warp_sum(dscale);
    if (threadIdx.x % 32 == 0) dgamma[row] = dscale * inverse_std;
}

__global__ void shift_backward(PolarizerParameters p, const float* db, float* dgamma,
                               std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once())
        dgamma[i] = -p.mean[i] * db[i] / sqrtf(p.variance[i] + p.eps);
}

void multiply(const PolarizerShape& shape, const float* in, const PolarizerSamples& samples,
              const PolarizerMaps<float>& maps, float* out) {
    (tf32_allowed() ? polarizer_v4_tf32 : polarizer_v3)(shape, in, samples, maps, out);
}

void multiply(const PolarizerShape& shape, const bfloat16* in, const PolarizerSamples& samples,
              const PolarizerMaps<bfloat16>& maps, bfloat16* out) {
    const bool hopper = gpu::properties().compute_major == 9;
    (hopper ? polarizer_v10 : polarizer_v6)(shape, in, samples, maps, out);
}

}  // namespace

template <typename T>
void polarizer_fold(std::int64_t classes, std::int64_t channels,
                    const PolarizerParameters& parameters, T* a, T* transposed, float* b) {
    if (classes == 0 || channels == 0) return;
    const unsigned tiles = ceil_div(channels, SquareTile::kSide);
    launch({.name = "polarizer_fold",
            .grid = {tiles, tiles, static_cast<unsigned>(classes)},
            .block = {SquareTile::kSide, SquareTile::kRowsAtOnce}},
           fold<T>, static_cast<int>(channels), parameters, a, transposed, b);
}
CNPD_INSTANTIATE(polarizer_fold);

void polarizer_fold_backward(std::int64_t classes, std::int64_t channels,
                             const PolarizerParameters& parameters, const float* da, float* dweight,
                             float* dgamma) {
    constexpr int kWarps = 4;
    const std::int64_t rows = classes * channels;
    if (rows == 0) return;
    launch(
        {.name = "polarizer_fold_backward", .grid = ceil_div(rows, kWarps), .block = 32 * kWarps},
        fold_backward, rows, channels, parameters, da, dweight, dgamma);
}

void polarizer_shift_backward(std::int64_t count, const PolarizerParameters& parameters,
                              const float* db, float* dgamma) {
    launch_elements("polarizer_shift_backward", count, shift_backward, parameters, db, dgamma);
}

template <typename T>
void polarizer_forward(const PolarizerShape& shape, const T* z, const PolarizerSamples& samples,
                       const PolarizerMaps<T>& maps, T* out) {
    multiply(shape, z, samples, maps, out);
}
CNPD_INSTANTIATE(polarizer_forward);

template <typename T>
void polarizer_dgrad(const PolarizerShape& shape, const T* dout, const PolarizerSamples& samples,
                     const PolarizerMaps<T>& maps, T* dz) {
    require_transposed(maps.transposed);
    multiply(shape, dout, samples, PolarizerMaps<T>{maps.transposed, nullptr}, dz);
}
CNPD_INSTANTIATE(polarizer_dgrad);

}  // namespace cnpd::kernels::cuda
