// The loops between convolutions. They take a few operations per element, so all of them are
// limited by device memory: accesses are 16 bytes wide if alignment allows.
#include "kernels/elementwise/elementwise.h"

#include "kernels/common/column_slabs.h"
#include "kernels/common/device_workspace.h"
#include "kernels/common/grid_sum.h"
#include "kernels/common/row_grid.h"
#include "kernels/common/vector_grid.h"

namespace cnpd::kernels::cuda {
namespace {

// Bytes per element: fill 4, scale and relu_forward 8, add, multiply and relu_backward 12, half as
// many in bfloat16; cast 6. A thread reads its inputs before it writes, so outputs may be inputs.
struct Fill {
    float* y;
    float value;
    template <int Width>
    __device__ void at(std::int64_t i) const {
        Pack<float, Width> values;
        for (float& each : values.of) each = value;
        store(y + i, values);
    }
};

struct Scale {
    const float* x;
    float alpha;
    float* y;
    template <int Width>
    __device__ void at(std::int64_t i) const {
        auto values = load<Width>(x + i);
        for (float& each : values.of) each *= alpha;
        store(y + i, values);
    }
};

struct ScaleBy {
    const float *x, *alpha;
    float* y;
    template <int Width>
    __device__ void at(std::int64_t i) const {
        auto values = load<Width>(x + i);
        for (float& each : values.of) each = *alpha * each;
        store(y + i, values);
    }
};

// z = combine(x, y)
template <typename T, typename Combine>
struct Combined {
    const T *x, *y;
    T* z;
    template <int Width>
    __device__ void at(std::int64_t i) const {
        auto results = load<Width>(x + i);
        const auto others = load<Width>(y + i);
        for (int k = 0; k < Width; ++k)
            results.of[k] = T(Combine{}(float{results.of[k]}, float{others.of[k]}));
        store(z + i, results);
    }
};
struct Product {
    __device__ float operator()(float a, float b) const { return a * b; }
};

template <typename T>
struct ReluForward {
    const T* x;
    T* y;
    template <int Width>
    __device__ void at(std::int64_t i) const {
        auto values = load<Width>(x + i);
        for (T& each : values.of)
            if (each <= 0) each = T(0.0f);  // NaN is not <= 0
        store(y + i, values);
    }
};

template <typename T>
struct ReluBackward {
    const T *dy, *y;
    T* dx;
    template <int Width>
    __device__ void at(std::int64_t i) const {
        auto gradients = load<Width>(dy + i);
        const auto outputs = load<Width>(y + i);
        for (int k = 0; k < Width; ++k)
            if (!(outputs.of[k] > 0)) gradients.of[k] = T(0.0f);
        store(dx + i, gradients);
    }
};

template <typename From, typename To>
struct Cast {
    const From* x;
    To* y;
    template <int Width>
    __device__ void at(std::int64_t i) const {
        const auto values = load<Width>(x + i);
        Pack<To, Width> converted;
        for (int k = 0; k < Width; ++k) converted.of[k] = To(values.of[k]);
        store(y + i, converted);
    }
};

// 8 bytes per element; the row is read from the cache, once for all the rows of a thread.
template <int Width>
__global__ void add_to_rows(const float* x, const float* row, std::int64_t rows,
                            std::int64_t columns, float* y) {
    for (std::int64_t c = Width * threadIdx.x; c < columns; c += Width * blockDim.x) {
        const auto added = load<Width>(row + c);
        for (std::int64_t r = first_row(); r < rows; r += rows_at_once()) {
            auto sums = load<Width>(x + r * columns + c);
            for (int k = 0; k < Width; ++k) sums.of[k] += added.of[k];
            store(y + r * columns + c, sums);
        }
    }
}

// 4 bytes per element, or 2, read once, by threads that loop over the rows of their own columns.
// Sums go from float to double every few rows: double additions alone would be the limit on GPUs
// with few double units, float alone would lose digits over many rows. Block (slab, tile) of the
// grid sums a slab of the rows of a tile of the columns, to partial [columns,slabs] or, if there is
// one slab, to sums.
template <int Width, typename T>
__global__ void sum_slab(const T* x, std::int64_t rows, std::int64_t columns, double* partial,
                         float* sums) {
    constexpr int kRowsInFloat = 16;
    __shared__ double of_thread[kSlabThreads * Width];
    const SlabRows slab = rows_of_slab(blockIdx.x, gridDim.x, rows);
    const std::int64_t column = first_column<Width>();
    double total[Width] = {};
    for (std::int64_t row = slab.begin + threadIdx.y; column < columns && row < slab.end;) {
        float sum[Width] = {};
        for (int i = 0; i < kRowsInFloat && row < slab.end; ++i, row += blockDim.y) {
            const auto values = load<Width>(x + row * columns + column);
            for (int k = 0; k < Width; ++k) sum[k] += values.of[k];
        }
        for (int k = 0; k < Width; ++k) total[k] += sum[k];
    }
    for (int k = 0; k < Width; ++k) of_thread[Width * thread_of_slab() + k] = total[k];
    __syncthreads();
    for_each_column_of_tile<Width>(columns, [&](std::int64_t c, int at) {
        double sum = 0;
        for (unsigned y = 0; y < blockDim.y; ++y, at += Width * static_cast<int>(blockDim.x))
            sum += of_thread[at];
        if (partial)
            partial[c * gridDim.x + blockIdx.x] = sum;
        else
            sums[c] = static_cast<float>(sum);
    });
}

// Few bytes: one warp per column.
__global__ void sum_slabs(const double* partial, std::int64_t columns, std::int64_t slabs,
                          float* sums) {
    const int lane = threadIdx.x % 32;
    for_each_column_of_warp(columns, [&](std::int64_t c) {
        double sum = 0;
        for (std::int64_t slab = lane; slab < slabs; slab += 32) sum += partial[c * slabs + slab];
        sum = warp_sum(sum);
        if (lane == 0) sums[c] = static_cast<float>(sum);
    });
}

// 4 bytes per element.
struct Squares {
    const float* x;
    template <int Width>
    __device__ double at(std::int64_t i) const {
        const auto values = load<Width>(x + i);
        double sum = 0;
        for (const float each : values.of) sum += static_cast<double>(each) * each;
        return sum;
    }
};

// For a few elements: no vectors.
__global__ void accumulate_each(const float* x, double* sums, std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) sums[i] += x[i];
}

}  // namespace

void fill(float* y, std::int64_t count, float value) {
    launch_packs("fill", count, Fill{y, value}, y);
}

void scale(const float* x, std::int64_t count, float alpha, float* y) {
    launch_packs("scale", count, Scale{x, alpha, y}, x, y);
}

void scale_by(const float* x, std::int64_t count, const float* alpha, float* y) {
    launch_packs("scale_by", count, ScaleBy{x, alpha, y}, x, y);
}

template <typename T>
void add(const T* x, const T* y, std::int64_t count, T* z) {
    launch_packs("add", count, Combined<T, Sum>{x, y, z}, x, y, z);
}
CNPD_INSTANTIATE(add);

template <typename T>
void relu_forward(const T* x, std::int64_t count, T* y) {
    launch_packs("relu_forward", count, ReluForward<T>{x, y}, x, y);
}
CNPD_INSTANTIATE(relu_forward);

template <typename T>
void relu_backward(const T* dy, const T* y, std::int64_t count, T* dx) {
    launch_packs("relu_backward", count, ReluBackward<T>{dy, y, dx}, dy, y, dx);
}
CNPD_INSTANTIATE(relu_backward);

template <typename T>
void sum_rows(const T* x, std::int64_t rows, std::int64_t columns, float* sums) {
    if (columns == 0) return;
    const int width = widest_access_of_rows(columns, x);
    const ColumnSlabs slabs = column_slabs(rows, columns, width);
    const auto kernel = width > 1 ? sum_slab<kWidest<T>, T> : sum_slab<1, T>;
    if (slabs.count == 1)
        return launch(slabs.shape("sum_rows"), kernel, x, rows, columns, nullptr, sums);
    const DeviceWorkspace partial(columns * slabs.count * sizeof(double));
    launch(slabs.shape("sum_rows"), kernel, x, rows, columns, partial.as<double>(), nullptr);
    launch(elements_shape("sum_rows", columns * 32), sum_slabs, partial.as<double>(), columns,
           slabs.count, sums);
}
CNPD_INSTANTIATE(sum_rows);

void add_row(const float* x, const float* row, std::int64_t rows, std::int64_t columns, float* y) {
    if (rows == 0 || columns == 0) return;
    const int width = widest_access_of_rows(columns, x, row, y);
    launch(rows_shape("add_row", rows, columns / width),
           width == 4 ? add_to_rows<4> : add_to_rows<1>, x, row, rows, columns, y);
}

void sum_of_squares(const float* x, std::int64_t count, double* result) {
    launch_sum("sum_of_squares", count, Squares{x}, result, x);
}

void cast(const float* x, std::int64_t count, bfloat16* y) {
    launch_packs("cast", count, Cast<float, bfloat16>{x, y}, x, y);
}

void cast(const bfloat16* x, std::int64_t count, float* y) {
    launch_packs("cast", count, Cast<bfloat16, float>{x, y}, x, y);
}

void accumulate(const float* x, std::int64_t count, double* sums) {
    launch_elements("accumulate", count, accumulate_each, x, sums);
}

void multiply(const float* x, const float* y, std::int64_t count, float* z) {
    launch_packs("multiply", count, Combined<float, Product>{x, y, z}, x, y, z);
}

}  // namespace cnpd::kernels::cuda
