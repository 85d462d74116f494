// Batch norm over [rows,C]: every pass is bounded by device memory. statistics reads 4 bytes an
// element, apply reads and writes 4, backward_reduce reads 8, backward_input reads up to 12 and
// writes 4; of bfloat16 half as many.
#include "kernels/batch_norm/batch_norm.h"

#include <algorithm>

#include "kernels/common/cuda.h"
#include "kernels/common/device_workspace.h"
#include "kernels/common/row_grid.h"
#include "kernels/common/vector_access.h"

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
template <typename T>
__device__ float pivot_of(const T* x, std::int64_t rows, std::int64_t channels, std::int64_t c) {
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

template <typename T>
__global__ void share_moments(const T* x, std::int64_t rows, std::int64_t channels,
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

template <typename T>
__global__ void merge_moments(const T* x, const Moments* of_share, std::int64_t shares,
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

// The ReLU behind the batch norm, open where x * scale + shift > 0; null where there is none.
struct Relu {
    const float *scale, *shift;
};

template <typename T>
__global__ void share_sums(const T* dy, const T* x, std::int64_t rows, std::int64_t channels,
                           std::int64_t rows_each, const float* mean, Relu relu, float2* of_share) {
    __shared__ float sum_g[kRowsAtOnce][kChannels], sum_gx[kRowsAtOnce][kChannels];
    const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kChannels + threadIdx.x;
    float g_sum = 0, gx_sum = 0;
    if (c < channels) {
        const float scale = relu.scale ? relu.scale[c] : 0, shift = relu.scale ? relu.shift[c] : 0;
        for_each_row(rows, rows_each, [&](std::int64_t row) {
            const float value = x[row * channels + c];
            const bool open = !relu.scale || value * scale + shift > 0;
            const float g = open ? dy[row * channels + c] : 0.0f;
            g_sum += g;
            gx_sum += g * (value - mean[c]);
        });
    }
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

// From here on a thread keeps its channels, and what belongs to them, over all of its rows.
template <int Width, typename T>
__global__ void apply(const T* x, std::int64_t rows, std::int64_t channels, const float* scale,
                      const float* shift, bool relu, T* y) {
    for (std::int64_t c = Width * threadIdx.x; c < channels; c += Width * blockDim.x) {
        const auto scales = load<Width>(scale + c), shifts = load<Width>(shift + c);
        for (std::int64_t r = first_row(); r < rows; r += rows_at_once()) {
            auto values = load<Width>(x + r * channels + c);
            for (int k = 0; k < Width; ++k) {
                const float value = values.of[k] * scales.of[k] + shifts.of[k];
                values.of[k] = T(relu && value < 0 ? 0.0f : value);  // NaN stays
            }
            store(y + r * channels + c, values);
        }
    }
}

// dx = a g + b x + c + add, where b and c, or add, may be null.
template <typename T>
struct InputGradient {
    const float *a, *b, *c;
    const T* add;
};
template <int Width, typename T>
__global__ void backward_input(const T* dy, const T* x, std::int64_t rows, std::int64_t channels,
                               Relu relu, InputGradient<T> of, T* dx) {
    for (std::int64_t column = Width * threadIdx.x; column < channels;
         column += Width * blockDim.x) {
        const auto scale = load_if<Width>(relu.scale, column);
        const auto shift = load_if<Width>(relu.shift, column);
        const auto a = load<Width>(of.a + column);
        const auto b = load_if<Width>(of.b, column), c = load_if<Width>(of.c, column);
        for (std::int64_t r = first_row(); r < rows; r += rows_at_once()) {
            const std::int64_t i = r * channels + column;
            const auto values = load_if<Width>(relu.scale || of.b ? x : nullptr, i);
            const auto added = load_if<Width>(of.add, i);
            auto gradients = load<Width>(dy + i);
            for (int k = 0; k < Width; ++k) {
                const float value = values.of[k];
                const bool open = !relu.scale || value * scale.of[k] + shift.of[k] > 0;
                float gradient = a.of[k] * (open ? gradients.of[k] : 0.0f);
                if (of.b) gradient += b.of[k] * value + c.of[k];
                if (of.add) gradient += added.of[k];
                gradients.of[k] = T(gradient);
            }
            store(dx + i, gradients);
        }
    }
}

dim3 grid_of(std::int64_t channels, const Share& share) {
    return {ceil_div(channels, kChannels), static_cast<unsigned>(share.count)};
}

}  // namespace

template <typename T>
void batch_norm_statistics(const T* x, std::int64_t rows, std::int64_t channels, float* mean,
                           float* variance) {
    const Share share = shares_of(rows, channels);
    const DeviceWorkspace workspace(static_cast<std::size_t>(share.count * channels) *
                                    sizeof(Moments));
    launch({.name = "batch_norm_statistics",
            .grid = grid_of(channels, share),
            .block = {kChannels, kRowsAtOnce}},
           share_moments<T>, x, rows, channels, share.rows_each, workspace.as<Moments>());
    launch_elements("batch_norm_statistics", channels, merge_moments<T>, x, workspace.as<Moments>(),
                    share.count, rows, mean, variance);
}
CNPD_INSTANTIATE(batch_norm_statistics);

template <typename T>
void batch_norm_apply(const T* x, std::int64_t rows, std::int64_t channels, const float* scale,
                      const float* shift, bool relu, T* y) {
    if (rows == 0 || channels == 0) return;
    const int width = widest_access_of_rows(channels, x, scale, shift, y);
    launch(rows_shape("batch_norm_apply", rows, channels / width),
           width > 1 ? apply<kWidest<T>, T> : apply<1, T>, x, rows, channels, scale, shift, relu,
           y);
}
CNPD_INSTANTIATE(batch_norm_apply);

template <typename T>
void batch_norm_backward_reduce(const T* dy, const T* x, std::int64_t rows, std::int64_t channels,
                                const float* mean, const float* scale, const float* shift,
                                bool relu, float* sum_g, float* sum_gx) {
    const Share share = shares_of(rows, channels);
    const DeviceWorkspace workspace(static_cast<std::size_t>(share.count * channels) *
                                    sizeof(float2));
    launch({.name = "batch_norm_backward_reduce",
            .grid = grid_of(channels, share),
            .block = {kChannels, kRowsAtOnce}},
           share_sums<T>, dy, x, rows, channels, share.rows_each, mean,
           relu ? Relu{scale, shift} : Relu{}, workspace.as<float2>());
    launch_elements("batch_norm_backward_reduce", channels, add_sums, workspace.as<float2>(),
                    share.count, sum_g, sum_gx);
}
CNPD_INSTANTIATE(batch_norm_backward_reduce);

template <typename T>
void batch_norm_backward_input(const T* dy, const T* x, std::int64_t rows, std::int64_t channels,
                               const float* scale, const float* shift, bool relu, const float* a,
                               const float* b, const float* c, const T* add, T* dx) {
    if (rows == 0 || channels == 0) return;
    const int width = widest_access_of_rows(channels, dy, x, scale, shift, a, b, c, add, dx);
    launch(rows_shape("batch_norm_backward_input", rows, channels / width),
           width > 1 ? backward_input<kWidest<T>, T> : backward_input<1, T>, dy, x, rows, channels,
           relu ? Relu{scale, shift} : Relu{}, InputGradient<T>{a, b, c, add}, dx);
}
CNPD_INSTANTIATE(batch_norm_backward_input);

}  // namespace cnpd::kernels::cuda
