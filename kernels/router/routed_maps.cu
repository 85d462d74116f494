// Attention, mixing, folding and rounding in one kernel. Limited by device memory: with 200 classes
// of 512 channels, 105 MB of maps in bfloat16 are written, and as much again if they are wanted
// transposed. Experts are read from device memory once, and from the L2 cache again for every eight
// classes.
//
// The backward pass is a few launches: da is read twice, for the gradient of the attention and for
// that of the experts; from the latter the gradient of the scale follows with a pass over the
// experts alone.
#include "kernels/router/routed_maps.h"

#include "kernels/common/cuda.h"
#include "kernels/common/device_workspace.h"
#include "kernels/common/grid.h"
#include "kernels/common/square_tile.h"
#include "kernels/common/warp_reduce.h"
#include "kernels/router/attend.h"

namespace cnpd::kernels::cuda {
namespace {

// A block computes a tile of the maps of eight classes.
constexpr int kSide = SquareTile::kSide, kRowsAtOnce = SquareTile::kRowsAtOnce,
              kRows = SquareTile::kRows, kClasses = 8;
static_assert(kClasses == kRowsAtOnce);  // a warp for each class's attention

// The tile's sums over the experts.
struct Sums {
    float of[kClasses][kRows];
};
__device__ Sums mix(const RoutedShape& s, const float* experts, const float* attention, int i0,
                    int j) {
    Sums sums{};
    const auto channels = static_cast<int>(s.channels);
    for (int m = 0; m < s.experts; ++m) {
        const float* const expert = experts + std::int64_t{m} * channels * channels;
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
            const int i = i0 + static_cast<int>(threadIdx.y) + r * kRowsAtOnce;
            const bool inside = i < channels && j < channels;
            const float value = inside ? expert[i * channels + j] : 0.0f;
#pragma unroll
            for (int k = 0; k < kClasses; ++k)
                sums.of[k][r] += attention[k * s.experts + m] * value;
        }
    }
    return sums;
}

// blockIdx: tile column, tile row, group of classes.
template <typename T>
__global__ void __launch_bounds__(kSide* kRowsAtOnce)
    route(RoutedShape s, RouterParameters p, float* attention, T* a, T* transposed, float* b) {
    CNPD_DYNAMIC_SHARED(float, of_classes);  // [kClasses,experts]
    const auto channels = static_cast<int>(s.channels);
    const std::int64_t y0 = std::int64_t{blockIdx.z} * kClasses;
    const auto classes = static_cast<int>(s.classes - y0 < kClasses ? s.classes - y0 : kClasses);
    const int i0 = static_cast<int>(blockIdx.y) * kSide, j0 = static_cast<int>(blockIdx.x) * kSide;
    const auto mine = static_cast<int>(threadIdx.y);  // this warp's class
    float* const of_mine = of_classes + mine * s.experts;
    if (mine < classes) attend(s.attention(), p.queries, p.keys, y0 + mine, of_mine);
    for (std::int64_t m = threadIdx.x; m < s.experts; m += 32) {
        if (mine >= classes)
            of_mine[m] = 0;
        else if (i0 == 0 && j0 == 0)
            attention[(y0 + mine) * s.experts + m] = of_mine[m];
    }
    __syncthreads();

    Sums sums = mix(s, p.experts, of_classes, i0, j0 + static_cast<int>(threadIdx.x));
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
        const int i = i0 + mine + r * kRowsAtOnce;
        if (i >= channels) continue;
        const float scale = p.gamma[i] / sqrtf(p.variance[i] + p.eps);
#pragma unroll
        for (int k = 0; k < kClasses; ++k) sums.of[k][r] *= scale;
        if (j0 == 0 && threadIdx.x < static_cast<unsigned>(classes))
            b[(y0 + threadIdx.x) * channels + i] = p.beta[i] - p.mean[i] * scale;
    }
    const std::int64_t values = s.channels * s.channels;
#pragma unroll
    for (int k = 0; k < kClasses; ++k) {
        if (k == classes) break;                   // the whole block
        if (transposed && k > 0) __syncthreads();  // the previous class's tile has been read
        SquareTile::store(sums.of[k], channels, i0, j0, a + (y0 + k) * values,
                          transposed ? transposed + (y0 + k) * values : nullptr);
    }
}

// to [maps,C,C] = diag(scale) from
__global__ void scale_rows(RouterParameters p, std::int64_t channels, const float* from, float* to,
                           std::int64_t rows) {
    const std::int64_t row = first_element() / 32;
    if (row >= rows) return;  // whole warps
    const std::int64_t i = row % channels;
    const float scale = p.gamma[i] / sqrtf(p.variance[i] + p.eps);
    for (std::int64_t k = row * channels + threadIdx.x % 32; k < (row + 1) * channels; k += 32)
        to[k] = scale * from[k];
}

// From the gradients of the unscaled experts, which become those of the experts: dgamma [C]. A warp
// for each row of the experts.
__global__ void finish_experts(RoutedShape s, RouterParameters p, float* dexperts, float* dgamma) {
    const std::int64_t i = first_element() / 32;
    if (i >= s.channels) return;  // whole warps
    const float inverse = 1 / sqrtf(p.variance[i] + p.eps), scale = p.gamma[i] * inverse;
    float dscale = 0;
    for (std::int64_t m = 0; m < s.experts; ++m) {
        const std::int64_t row = (m * s.channels + i) * s.channels;
        for (std::int64_t k = row + threadIdx.x % 32; k < row + s.channels; k += 32) {
            dscale += dexperts[k] * p.experts[k];
            dexperts[k] *= scale;
        }
    }
    dscale = warp_sum(dscale);
    if (threadIdx.x % 32 == 0) dgamma[i] = dscale * inverse;
}

__global__ void shift_gradients(RouterParameters p, std::int64_t classes, const float* db,
                                float* dgamma, float* dbeta, std::int64_t channels) {
    for (std::int64_t i = first_element(); i < channels; i += elements_at_once()) {
        float sum = 0;
        for (std::int64_t y = 0; y < classes; ++y) sum += db[y * channels + i];
        dbeta[i] = sum;
        dgamma[i] = -p.mean[i] * sum / sqrtf(p.variance[i] + p.eps);
    }
}

constexpr int kWarps = 8;
LaunchShape warps_shape(const char* name, std::int64_t warps) {
    return {.name = name, .grid = ceil_div(warps, kWarps), .block = 32 * kWarps};
}

}  // namespace

template <typename T>
void routed_maps(const RoutedShape& shape, const RouterParameters& parameters, float* attention,
                 T* a, T* transposed, float* b) {
    if (shape.classes == 0 || shape.channels == 0) return;
    const unsigned tiles = ceil_div(shape.channels, kSide);
    launch({.name = "routed_maps",
            .grid = {tiles, tiles, ceil_div(shape.classes, kClasses)},
            .block = {kSide, kRowsAtOnce},
            .dynamic_shared = static_cast<std::size_t>(kClasses * shape.experts) * sizeof(float)},
           route<T>, shape, parameters, attention, a, transposed, b);
}
CNPD_INSTANTIATE(routed_maps);

void routed_maps_backward(const RoutedShape& shape, const RouterParameters& parameters,
                          const float* attention, const float* da,
                          const RouterGradients& gradients) {
    if (shape.channels == 0) return;
    const std::int64_t rows = shape.experts * shape.channels;
    const DeviceWorkspace scaled(static_cast<std::size_t>(rows * shape.channels) * sizeof(float)),
        dattention(static_cast<std::size_t>(shape.classes * shape.experts) * sizeof(float));
    launch(warps_shape("routed_maps_backward", rows), scale_rows, parameters, shape.channels,
           parameters.experts, scaled.floats(), rows);
    mix_experts_backward_attention(shape.mixture(), scaled.floats(), da, dattention.floats());
    router_attention_backward(shape.attention(), parameters.queries, parameters.keys, attention,
                              dattention.floats(), gradients.queries, gradients.keys);
    mix_experts_backward(shape.mixture(), attention, da, gradients.experts);
    launch(warps_shape("routed_maps_backward", shape.channels), finish_experts, shape, parameters,
           gradients.experts, gradients.gamma);
}

void routed_shift_backward(std::int64_t classes, std::int64_t channels,
                           const RouterParameters& parameters, const float* db, float* dgamma,
                           float* dbeta) {
    launch_elements("routed_shift_backward", channels, shift_gradients, parameters, classes, db,
                    dgamma, dbeta);
}

}  // namespace cnpd::kernels::cuda
