// Attention handles a few kilobytes and costs its launches. Mixing is limited by device memory:
// with 200 classes of 512 channels 210 MB are written. Experts are read from device memory once,
// and from the L2 cache again for every eight classes.
#include "kernels/router/router.h"

#include <algorithm>

#include "kernels/common/cuda.h"
#include "kernels/common/device_workspace.h"
#include "kernels/common/grid.h"
#include "kernels/common/vector_access.h"
#include "kernels/common/warp_reduce.h"
#include "kernels/router/attend.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;

__device__ int lane() {
    return static_cast<int>(threadIdx.x % 32);
}

__global__ void attend_all(AttentionShape s, const float* queries, const float* keys,
                           float* attention) {
    const std::int64_t y = first_element() / 32;
    if (y < s.classes) attend(s, queries, keys, y, attention + y * s.experts);  // whole warps
}

// dscores [classes,experts]: the gradient before the softmax, already divided by sqrt(width).
__global__ void score_gradients(AttentionShape s, const float* attention, const float* dattention,
                                float scale, float* dscores) {
    const std::int64_t y = first_element() / 32;
    if (y >= s.classes) return;
    const float *a = attention + y * s.experts, *da = dattention + y * s.experts;
    float mean = 0;  // of da, by a
    for (std::int64_t m = lane(); m < s.experts; m += 32) mean += a[m] * da[m];
    mean = warp_sum(mean);
    for (std::int64_t m = lane(); m < s.experts; m += 32)
        dscores[y * s.experts + m] = scale * a[m] * (da[m] - mean);
}

// The entry of [classes,experts] that belongs to term s of row r of the result.
struct Coefficients {
    const float* of;
    std::int64_t row_stride, term_stride;
    __device__ float operator()(std::int64_t r, std::int64_t s) const {
        return of[r * row_stride + s * term_stride];
    }
};

// out[r] = sum_s coefficients(r, s) in[s] over rows of `values`. A thread keeps its columns of
// eight rows of the result in registers, so that one load serves eight sums.
constexpr int kRowsOfThread = 8;
template <int Width>
__global__ void __launch_bounds__(kThreads)
    combine_rows(Coefficients coefficients, std::int64_t rows, std::int64_t terms,
                 std::int64_t values, const float* in, float* out) {
    const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.y) * kRowsOfThread;
    const std::int64_t i = first_element() * Width;
    if (i >= values) return;
    Pack<float, Width> sums[kRowsOfThread] = {};
    for (std::int64_t s = 0; s < terms; ++s) {
        const auto term = load<Width>(in + s * values + i);
        for (int r = 0; r < kRowsOfThread; ++r) {
            const float factor = row0 + r < rows ? coefficients(row0 + r, s) : 0.0f;
            for (int k = 0; k < Width; ++k) sums[r].of[k] += factor * term.of[k];
        }
    }
    for (int r = 0; r < kRowsOfThread; ++r)
        if (row0 + r < rows) store(out + (row0 + r) * values + i, sums[r]);
}

// Inner products of 4 rows of dmixed with 4 experts over a slice of their values: 16 products for
// 8 loads. partial [slices,classes,experts].
constexpr int kSide = 4, kProducts = kSide * kSide;
template <int Width>
__global__ void __launch_bounds__(kThreads)
    inner_products(MixtureShape s, std::int64_t slice, const float* experts, const float* dmixed,
                   float* partial) {
    __shared__ float of_warp[kWarps][kProducts];
    const std::int64_t y0 = static_cast<std::int64_t>(blockIdx.y) * kSide;
    const std::int64_t m0 = static_cast<std::int64_t>(blockIdx.z) * kSide;
    const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * slice;
    const std::int64_t end = begin + slice < s.values ? begin + slice : s.values;
    float products[kSide][kSide] = {};
    for (std::int64_t i = begin + static_cast<std::int64_t>(threadIdx.x) * Width; i < end;
         i += kThreads * Width) {
        Pack<float, Width> left[kSide], right[kSide];
        for (int k = 0; k < kSide; ++k) {
            // Missing rows are replaced by the last one and not written.
            const std::int64_t y = y0 + k < s.classes ? y0 + k : s.classes - 1;
            const std::int64_t m = m0 + k < s.experts ? m0 + k : s.experts - 1;
            left[k] = load<Width>(dmixed + y * s.values + i);
            right[k] = load<Width>(experts + m * s.values + i);
        }
        for (int a = 0; a < kSide; ++a)
            for (int b = 0; b < kSide; ++b)
                for (int k = 0; k < Width; ++k) products[a][b] += left[a].of[k] * right[b].of[k];
    }
    for (int a = 0; a < kSide; ++a)
        for (int b = 0; b < kSide; ++b) {
            const float sum = warp_sum(products[a][b]);
            if (lane() == 0) of_warp[threadIdx.x / 32][a * kSide + b] = sum;
        }
    __syncthreads();
    const int product = static_cast<int>(threadIdx.x);
    if (product >= kProducts) return;
    const std::int64_t y = y0 + product / kSide, m = m0 + product % kSide;
    if (y >= s.classes || m >= s.experts) return;
    float sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += of_warp[warp][product];
    partial[(blockIdx.x * s.classes + y) * s.experts + m] = sum;
}

__global__ void add_slices(const float* partial, std::int64_t slices, float* sums,
                           std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        float sum = 0;
        for (std::int64_t slice = 0; slice < slices; ++slice) sum += partial[slice * count + i];
        sums[i] = sum;
    }
}

float inverse_root(std::int64_t width) {
    return 1 / sqrtf(static_cast<float>(width));
}

LaunchShape warps_shape(const char* name, std::int64_t warps) {
    return {.name = name, .grid = ceil_div(warps, kWarps), .block = kThreads};
}

void combine(const char* name, const Coefficients& coefficients, std::int64_t rows,
             std::int64_t terms, std::int64_t values, const float* in, float* out) {
    if (rows == 0 || values == 0) return;
    const int width = widest_access_of_rows(values, in, out);
    launch({.name = name,
            .grid = {ceil_div(values, width * kThreads), ceil_div(rows, kRowsOfThread)},
            .block = kThreads},
           width == 4 ? combine_rows<4> : combine_rows<1>, coefficients, rows, terms, values, in,
           out);
}

}  // namespace

void router_attention(const AttentionShape& shape, const float* queries, const float* keys,
                      float* attention) {
    if (shape.classes == 0) return;
    launch(warps_shape("router_attention", shape.classes), attend_all, shape, queries, keys,
           attention);
}

void router_attention_backward(const AttentionShape& shape, const float* queries, const float* keys,
                               const float* attention, const float* dattention, float* dqueries,
                               float* dkeys) {
    const DeviceWorkspace dscores(static_cast<std::size_t>(shape.classes * shape.experts) *
                                  sizeof(float));
    const char* const name = "router_attention_backward";
    if (shape.classes > 0)
        launch(warps_shape(name, shape.classes), score_gradients, shape, attention, dattention,
               inverse_root(shape.width), dscores.floats());
    combine(name, {dscores.floats(), shape.experts, 1}, shape.classes, shape.experts, shape.width,
            keys, dqueries);
    combine(name, {dscores.floats(), 1, shape.experts}, shape.experts, shape.classes, shape.width,
            queries, dkeys);
}

void mix_experts(const MixtureShape& shape, const float* attention, const float* experts,
                 float* mixed) {
    combine("mix_experts", {attention, shape.experts, 1}, shape.classes, shape.experts,
            shape.values, experts, mixed);
}

void mix_experts_backward(const MixtureShape& shape, const float* attention, const float* dmixed,
                          float* dexperts) {
    combine("mix_experts_backward", {attention, 1, shape.experts}, shape.experts, shape.classes,
            shape.values, dmixed, dexperts);
}

void mix_experts_backward_attention(const MixtureShape& shape, const float* experts,
                                    const float* dmixed, float* dattention) {
    const std::int64_t count = shape.classes * shape.experts;
    if (count == 0) return;
    const char* const name = "mix_experts_backward_attention";
    const int width = widest_access_of_rows(shape.values, experts, dmixed);
    // Every thread of a slice gets some packs before another block pays off.
    constexpr std::int64_t kPacksOfThread = 4, kMostSlices = 64;
    const std::int64_t slices = std::clamp<std::int64_t>(
        shape.values / (width * kThreads * kPacksOfThread), 1, kMostSlices);
    const std::int64_t packs = (shape.values + width - 1) / width;
    const std::int64_t slice = (packs + slices - 1) / slices * width;
    const LaunchShape grid = {
        .name = name,
        .grid = {static_cast<unsigned>(slices), ceil_div(shape.classes, kSide),
                 ceil_div(shape.experts, kSide)},
        .block = kThreads};
    const auto kernel = width == 4 ? inner_products<4> : inner_products<1>;
    if (slices == 1) return launch(grid, kernel, shape, slice, experts, dmixed, dattention);
    const DeviceWorkspace partial(static_cast<std::size_t>(slices * count) * sizeof(float));
    launch(grid, kernel, shape, slice, experts, dmixed, partial.floats());
    launch_elements(name, count, add_slices, partial.floats(), slices, dattention);
}

}  // namespace cnpd::kernels::cuda
