// Batch norm over [rows,C]: every pass is bounded by device memory. statistics reads 4 bytes an
// element, apply reads and writes 4, backward_reduce reads 8, backward_input reads up to 12 and
// writes 4.
#include "kernels/batch_norm/batch_norm.h"

#include <algorithm>

#include "kernels/common/cuda.h"
#include "kernels/common/device_workspace.h"
#include "kernels/common/grid.h"

namespace cnpd::kernels::cuda {
namespace {

// Reductions over rows: a block covers 32 channels (a warp's loads are 128 bytes in a row) and
// walks down its share of the rows, eight at a time. The shares are put together by a second
// kernel, in order.
constexpr int kChannels = 32, kRowsAtOnce = 8;

struct Share {
    std::int64_t count, rows_each;
};
Share shares_of(std::int64_t rows, std::int64_t channels) {
    constexpr std::int64_t kBlocks = kMultiprocessors * 4, kLeastRows = 64;
    const std::int64_t wanted = std::max<std::int64_t>(
        1, kBlocks / static_cast<std::int64_t>(ceil_div(channels, kChannels)));
    const std::int64_t count =
        std::clamp<std::int64_t>(rows / kLeastRows, 1, std::min<std::int64_t>(wanted, 65535));
    return {count, static_cast<std::int64_t>(ceil_div(std::max<std::int64_t>(rows, 1), count))};
}

// Calls visit(row) for this thread's rows of the block's share.
template <typename Visit>
__device__ void for_each_row(std::int64_t rows, std::int64_t rows_each, const Visit& visit) {
    const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * rows_each;
    const std::int64_t end = begin + rows_each < rows ? begin + rows_each : rows;
    for (std::int64_t row = begin + threadIdx.y; row < end; row += kRowsAtOnce) visit(row);
}

// About where a channel's values lie: the mean of the first few. It is taken away from all of them
// before they are summed, since a mean of 30,000 would leave float few digits for deviations of 1.
__device__ float pivot_of(const float* x, std::int64_t rows, std::int64_t channels,
                          std::int64_t c) {
    const std::int64_t few = rows < 16 ? rows : 16;
    float sum = 0;
    for (std::int64_t row = 0; row < few; ++row) sum += x[row * channels + c];
    return sum / static_cast<float>(few);
}

// Count, mean and sum of squared deviations: merging two loses no digits (Chan, Golub and LeVeque,
// 1979).
struct Moments {
    float count, mean, squares;
};
__device__ Moments merge(const Moments& a, const Moments& b) {
    const float count = a.count + b.count;
    if (count == 0) return a;
    const float difference = b.mean - a.mean;
    return {count, a.mean + difference * (b.count / count),
            a.squares + b.squares + difference * difference * (a.count * b.count / count)};
}

__global__ void share_moments(const float* x, std::int64_t rows, std::int64_t channels,
                              std::int64_t rows_each, Moments* of_share) {
    __shared__ float count[kRowsAtOnce][kChannels], mean[kRowsAtOnce][kChannels],
        squares[kRowsAtOnce][kChannels];
    const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kChannels + threadIdx.x;
    const float pivot = c < channels ? pivot_of(x, rows, channels, c) : 0;
    Moments mine{0, 0, 0};
    if (c < channels)
        for_each_row(rows, rows_each, [&](std::int64_t row) {
            const float value = x[row * channels + c] - pivot;
            mine.count += 1;
            const float difference = value - mine.mean;
            mine.mean += difference / mine.count;
            mine.squares += difference * (value - mine.mean);
        });
    count[threadIdx.y][threadIdx.x] = mine.count;
    mean[threadIdx.y][threadIdx.x] = mine.mean;
    squares[threadIdx.y][threadIdx.x] = mine.squares;
    __syncthreads();
    if (threadIdx.y != 0 || c >= channels) return;
    for (int i = 1; i < kRowsAtOnce; ++i)
        mine = merge(mine, {count[i][threadIdx.x], mean[i][threadIdx.x], squares[i][threadIdx.x]});
    of_share[blockIdx.y * channels + c] = mine;
}

__global__ void merge_moments(const float* x, const Moments* of_share, std::int64_t shares,
                              std::int64_t rows, float* mean, float* variance,
                              std::int64_t channels) {
    for (std::int64_t c = first_element(); c < channels; c += elements_at_once()) {
        Moments all{0, 0, 0};
        for (std::int64_t share = 0; share < shares; ++share)
            all = merge(all, of_share[share * channels + c]);
        mean[c] = pivot_of(x, rows, channels, c) + all.mean;
        variance[c] = all.squares / static_cast<float>(rows);
    }
}

// The gradient behind the ReLU, if there is one.
struct Gate {
    const float *scale, *shift;
    bool relu;
    __device__ float operator()(float dy, float x, std::int64_t c) const {
        return !relu || x * scale[c] + shift[c] > 0 ? dy : 0.0f;
    }
};

__global__ void share_sums(const float* dy, const float* x, std::int64_t rows,
                           std::int64_t channels, std::int64_t rows_each, const float* mean,
                           Gate gate, float2* of_share) {
    __shared__ float sum_g[kRowsAtOnce][kChannels], sum_gx[kRowsAtOnce][kChannels];
    const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kChannels + threadIdx.x;
    float g_sum = 0, gx_sum = 0;
    if (c < channels)
        for_each_row(rows, rows_each, [&](std::int64_t row) {
            const float value = x[row * channels + c];
            const float g = gate(dy[row * channels + c], value, c);
            g_sum += g;
            gx_sum += g * (value - mean[c]);
        });
    sum_g[threadIdx.y][threadIdx.x] = g_sum;
    sum_gx[threadIdx.y][threadIdx.x] = gx_sum;
    __syncthreads();
    if (threadIdx.y != 0 || c >= channels) return;
    for (int i = 1; i < kRowsAtOnce; ++i) {
        g_sum += sum_g[i][threadIdx.x];
        gx_sum += sum_gx[i][threadIdx.x];
    }
    of_share[blockIdx.y * channels + c] = make_float2(g_sum, gx_sum);
}

__global__ void add_sums(const float2* of_share, std::int64_t shares, float* sum_g, float* sum_gx,
                         std::int64_t channels) {
    for (std::int64_t c = first_element(); c < channels; c += elements_at_once()) {
        float g = 0, gx = 0;
        for (std::int64_t share = 0; share < shares; ++share) {
            const float2 part = of_share[share * channels + c];
            g += part.x;
            gx += part.y;
        }
        sum_g[c] = g;
        sum_gx[c] = gx;
    }
}

__global__ void apply(const float* x, std::int64_t channels, const float* scale, const float* shift,
                      bool relu, float* y, std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        const std::int64_t c = i % channels;
        const float value = x[i] * scale[c] + shift[c];
        y[i] = relu && value < 0 ? 0.0f : value;  // NaN stays
    }
}

struct InputGradient {
    const float *a, *b, *c, *add;
};
__global__ void backward_input(const float* dy, const float* x, std::int64_t channels, Gate gate,
                               InputGradient of, float* dx, std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        const std::int64_t c = i % channels;
        const float value = gate.relu || of.b ? x[i] : 0.0f;
        float gradient = of.a[c] * gate(dy[i], value, c);
        if (of.b) gradient += of.b[c] * value + of.c[c];
        if (of.add) gradient += of.add[i];
        dx[i] = gradient;
    }
}

dim3 grid_of(std::int64_t channels, const Share& share) {
    return {ceil_div(channels, kChannels), static_cast<unsigned>(share.count)};
}

}  // namespace

void batch_norm_statistics(const float* x, std::int64_t rows, std::int64_t channels, float* mean,
                           float* variance) {
    const Share share = shares_of(rows, channels);
    const DeviceWorkspace workspace(static_cast<std::size_t>(share.count * channels) *
                                    sizeof(Moments));
    launch({.name = "batch_norm_statistics",
            .grid = grid_of(channels, share),
            .block = {kChannels, kRowsAtOnce}},
           share_moments, x, rows, channels, share.rows_each, workspace.as<Moments>());
    launch_elements("batch_norm_statistics", channels, merge_moments, x, workspace.as<Moments>(),
                    share.count, rows, mean, variance);
}

void batch_norm_apply(const float* x, std::int64_t rows, std::int64_t channels, const float* scale,
                      const float* shift, bool relu, float* y) {
    launch_elements("batch_norm_apply", rows * channels, apply, x, channels, scale, shift, relu, y);
}

void batch_norm_backward_reduce(const float* dy, const float* x, std::int64_t rows,
                                std::int64_t channels, const float* mean, const float* scale,
                                const float* shift, bool relu, float* sum_g, float* sum_gx) {
    const Share share = shares_of(rows, channels);
    const DeviceWorkspace workspace(static_cast<std::size_t>(share.count * channels) *
                                    sizeof(float2));
    launch({.name = "batch_norm_backward_reduce",
            .grid = grid_of(channels, share),
            .block = {kChannels, kRowsAtOnce}},
           share_sums, dy, x, rows, channels, share.rows_each, mean, Gate{scale, shift, relu},
           workspace.as<float2>());
    launch_elements("batch_norm_backward_reduce", channels, add_sums, workspace.as<float2>(),
                    share.count, sum_g, sum_gx);
}

void batch_norm_backward_input(const float* dy, const float* x, std::int64_t rows,
                               std::int64_t channels, const float* scale, const float* shift,
                               bool relu, const float* a, const float* b, const float* c,
                               const float* add, float* dx) {
    launch_elements("batch_norm_backward_input", rows * channels, backward_input, dy, x, channels,
                    Gate{scale, shift, relu}, InputGradient{a, b, c, add}, dx);
}

}  // namespace cnpd::kernels::cuda
