// Batch norm over [rows,C]: every pass is limited by device memory. Per element, statistics reads 4
// bytes, apply reads and writes 4, backward_reduce reads 8, backward_input reads up to 12 and
// writes 4; half as much in bfloat16.
#include "kernels/batch_norm/batch_norm.h"

#include "kernels/common/column_slabs.h"
#include "kernels/common/device_workspace.h"
#include "kernels/common/moments.h"
#include "kernels/common/row_grid.h"
#include "kernels/common/vector_access.h"

namespace cnpd::kernels::cuda {
namespace {

// Approximate mean of each channel, from its first values. It is subtracted before summing, because
// a mean of 30,000 leaves float few digits for deviations of 1.
template <int Width, typename T>
__device__ Pack<float, Width> pivot_of(const T* x, std::int64_t rows, std::int64_t channels,
                                       std::int64_t c) {
    const std::int64_t few = rows < 4 ? rows : 4;
    Pack<float, Width> pivot{};
    for (std::int64_t row = 0; row < few; ++row) {
        const auto values = load<Width>(x + row * channels + c);
        for (int k = 0; k < Width; ++k) pivot.of[k] += values.of[k];
    }
    for (float& each : pivot.of) each /= static_cast<float>(few);
    return pivot;
}

// of_slab [channels,slabs]: mean and sum of squared deviations.
template <int Width, typename T>
__global__ void slab_moments(const T* x, std::int64_t rows, std::int64_t channels,
                             float2* of_slab) {
    alignas(kBytesOfAccess) __shared__ float means[kSlabThreads * Width];
    alignas(kBytesOfAccess) __shared__ float squares[kSlabThreads * Width];
    const SlabRows slab = rows_of_slab(blockIdx.x, gridDim.x, rows);
    const std::int64_t c = first_column<Width>();
    Pack<float, Width> mean{}, square{};
    if (c < channels) {
        const auto pivot = pivot_of<Width>(x, rows, channels, c);
        float count = 0;
        for (std::int64_t row = slab.begin + threadIdx.y; row < slab.end; row += blockDim.y) {
            const auto values = load<Width>(x + row * channels + c);
            count += 1;
            const float share = 1 / count;  // one division for all columns
            for (int k = 0; k < Width; ++k) {
                const float value = values.of[k] - pivot.of[k];
                const float difference = value - mean.of[k];
                mean.of[k] += difference * share;
                square.of[k] += difference * (value - mean.of[k]);
            }
        }
    }
    store(means + Width * thread_of_slab(), mean);
    store(squares + Width * thread_of_slab(), square);
    __syncthreads();
    for_each_column_of_tile<Width>(channels, [&](std::int64_t column, int at) {
        Moments all{0, 0, 0};
        for (unsigned y = 0; y < blockDim.y; ++y, at += Width * static_cast<int>(blockDim.x)) {
            const std::int64_t left = slab.end - slab.begin - y;
            const std::int64_t count = left > 0 ? (left + blockDim.y - 1) / blockDim.y : 0;
            all = merge(all, {static_cast<float>(count), means[at], squares[at]});
        }
        of_slab[column * gridDim.x + blockIdx.x] = make_float2(all.mean, all.squares);
    });
}

// A warp per channel.
template <typename T>
__global__ void merge_slabs(const T* x, const float2* of_slab, std::int64_t slabs,
                            std::int64_t rows, std::int64_t channels, float* mean,
                            float* variance) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    for_each_column_of_warp(channels, [&](std::int64_t c) {
        Moments all{0, 0, 0};
        for (std::int64_t i = lane; i < slabs; i += 32) {
            const SlabRows slab = rows_of_slab(i, slabs, rows);
            const float2 moments = of_slab[c * slabs + i];
            all = merge(all, {static_cast<float>(slab.end - slab.begin), moments.x, moments.y});
        }
        all = merge_warp(all);
        if (lane != 0) return;
        mean[c] = pivot_of<1>(x, rows, channels, c).of[0] + all.mean;
        variance[c] = all.squares / static_cast<float>(rows);
    });
}

// The ReLU after the batch norm, active where x * scale + shift > 0; null: none.
struct Relu {
    const float *scale, *shift;
};

// of_slab [channels,slabs]: sums of g and of g (x - mean).
template <int Width, typename T>
__global__ void slab_sums(const T* dy, const T* x, std::int64_t rows, std::int64_t channels,
                          const float* mean, Relu relu, float2* of_slab) {
    alignas(kBytesOfAccess) __shared__ float of_g[kSlabThreads * Width];
    alignas(kBytesOfAccess) __shared__ float of_gx[kSlabThreads * Width];
    const SlabRows slab = rows_of_slab(blockIdx.x, gridDim.x, rows);
    const std::int64_t c = first_column<Width>();
    Pack<float, Width> sum_g{}, sum_gx{};
    if (c < channels) {
        const auto center = load<Width>(mean + c);
        const auto scale = load_if<Width>(relu.scale, c), shift = load_if<Width>(relu.shift, c);
        for (std::int64_t row = slab.begin + threadIdx.y; row < slab.end; row += blockDim.y) {
            const auto values = load<Width>(x + row * channels + c);
            const auto gradients = load<Width>(dy + row * channels + c);
            for (int k = 0; k < Width; ++k) {
                const float value = values.of[k];
                const bool open = !relu.scale || value * scale.of[k] + shift.of[k] > 0;
                const float g = open ? gradients.of[k] : 0.0f;
                sum_g.of[k] += g;
                sum_gx.of[k] += g * (value - center.of[k]);
            }
        }
    }
    store(of_g + Width * thread_of_slab(), sum_g);
    store(of_gx + Width * thread_of_slab(), sum_gx);
    __syncthreads();
    for_each_column_of_tile<Width>(channels, [&](std::int64_t column, int at) {
        float g = 0, gx = 0;
        for (unsigned y = 0; y < blockDim.y; ++y, at += Width * static_cast<int>(blockDim.x)) {
            g += of_g[at];
            gx += of_gx[at];
        }
        of_slab[column * gridDim.x + blockIdx.x] = make_float2(g, gx);
    });
}

// A warp per channel.
__global__ void add_slabs(const float2* of_slab, std::int64_t slabs, std::int64_t channels,
                          float* sum_g, float* sum_gx) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    for_each_column_of_warp(channels, [&](std::int64_t c) {
        float g = 0, gx = 0;
        for (std::int64_t i = lane; i < slabs; i += 32) {
            const float2 sums = of_slab[c * slabs + i];
            g += sums.x;
            gx += sums.y;
        }
        g = warp_sum(g);
        gx = warp_sum(gx);
        if (lane != 0) return;
        sum_g[c] = g;
        sum_gx[c] = gx;
    });
}

// From here on a thread keeps its channels, and their coefficients, for all of its rows.
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

std::size_t bytes_of(const ColumnSlabs& slabs, std::int64_t channels) {
    return static_cast<std::size_t>(slabs.count * channels) * sizeof(float2);
}

}  // namespace

template <typename T>
void batch_norm_statistics(const T* x, std::int64_t rows, std::int64_t channels, float* mean,
                           float* variance) {
    if (channels == 0) return;
    const char* const name = "batch_norm_statistics";
    const int width = widest_access_of_rows(channels, x);
    const ColumnSlabs slabs = column_slabs(rows, channels, width);
    const DeviceWorkspace of_slab(bytes_of(slabs, channels));
    launch(slabs.shape(name), width > 1 ? slab_moments<kWidest<T>, T> : slab_moments<1, T>, x, rows,
           channels, of_slab.as<float2>());
    launch(elements_shape(name, channels * 32), merge_slabs<T>, x, of_slab.as<float2>(),
           slabs.count, rows, channels, mean, variance);
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
    if (channels == 0) return;
    const char* const name = "batch_norm_backward_reduce";
    const Relu behind = relu ? Relu{scale, shift} : Relu{};
    const int width = widest_access_of_rows(channels, dy, x, mean, behind.scale, behind.shift);
    const ColumnSlabs slabs = column_slabs(rows, channels, width);
    const DeviceWorkspace of_slab(bytes_of(slabs, channels));
    launch(slabs.shape(name), width > 1 ? slab_sums<kWidest<T>, T> : slab_sums<1, T>, dy, x, rows,
           channels, mean, behind, of_slab.as<float2>());
    launch(elements_shape(name, channels * 32), add_slabs, of_slab.as<float2>(), slabs.count,
           channels, sum_g, sum_gx);
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
