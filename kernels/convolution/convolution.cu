// Convolution as a matrix product whose left matrix is not stored ("implicit GEMM"): the loaders
// below compute the address of the element in row m, column k of the unrolled image. Used without
// cuDNN. 2 N OH OW K R S C FLOP, limited by float32 arithmetic from about 32 channels on and by the
// loaders' index arithmetic below.
#include "kernels/convolution/convolution.h"

#include <algorithm>

#include "kernels/common/cuda.h"
#include "kernels/common/device_workspace.h"
#include "kernels/common/gemm_tile.h"
#include "kernels/common/notice.h"
#include "kernels/common/row_grid.h"
#include "kernels/common/vector_access.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/vendor/cudnn.h"

namespace cnpd::kernels::cuda {
namespace {

// A pixel [n,h,w] of an image, or none.
struct Pixel {
    std::int64_t n, h, w;
    bool exists;
};
__device__ Pixel pixel_of(std::int64_t index, std::int64_t n, std::int64_t h, std::int64_t w) {
    return {index / w / h, index / w % h, index % w, index < n * h * w};
}

// Forward: row m is an output pixel, column k = (r, s, c) an element of its window in x.
template <typename T>
struct WindowLoader {
    static constexpr bool along_k = true;
    using Line = Pixel;
    ConvolutionShape shape;
    const T* x;

    __device__ Line line(std::int64_t m) const {
        return pixel_of(m, shape.n, shape.out_h(), shape.out_w());
    }
    __device__ float at(const Line& y, std::int64_t k) const {
        const std::int64_t h = y.h * shape.stride - shape.pad + k / shape.c / shape.s;
        const std::int64_t w = y.w * shape.stride - shape.pad + k / shape.c % shape.s;
        if (!y.exists || h < 0 || h >= shape.h || w < 0 || w >= shape.w) return 0;
        return x[((y.n * shape.h + h) * shape.w + w) * shape.c + k % shape.c];
    }
};

// Backward to the input: row m is an input pixel, column (r, s, k) an element of dy that the pixel
// contributes to through filter tap (r, s).
template <typename T>
struct ReachedLoader {
    static constexpr bool along_k = true;
    using Line = Pixel;
    ConvolutionShape shape;
    const T* dy;

    __device__ Line line(std::int64_t m) const { return pixel_of(m, shape.n, shape.h, shape.w); }
    __device__ float at(const Line& x, std::int64_t k) const {
        const std::int64_t h = x.h + shape.pad - k / shape.k / shape.s;
        const std::int64_t w = x.w + shape.pad - k / shape.k % shape.s;
        if (!x.exists || h < 0 || w < 0 || h % shape.stride != 0 || w % shape.stride != 0) return 0;
        const std::int64_t oh = h / shape.stride, ow = w / shape.stride;
        if (oh >= shape.out_h() || ow >= shape.out_w()) return 0;
        return dy[((x.n * shape.out_h() + oh) * shape.out_w() + ow) * shape.k + k % shape.k];
    }
};
template <typename T>
struct TapLoader {  // the right operand: column c of the product
    static constexpr bool along_k = false;
    struct Line {
        std::int64_t c;
    };
    ConvolutionShape shape;
    const T* filter;

    __device__ Line line(std::int64_t c) const { return {c}; }
    __device__ float at(const Line& line, std::int64_t k) const {
        if (line.c >= shape.c) return 0;
        return filter[(k % shape.k * shape.r * shape.s + k / shape.k) * shape.c + line.c];
    }
};

// Backward to the filter: the sum runs over output pixels p; column (r, s, c) is the input that tap
// (r, s) reads for p.
template <typename T>
struct SeenLoader {
    static constexpr bool along_k = false;
    struct Line {
        std::int64_t r, s, c;
        bool exists;
    };
    ConvolutionShape shape;
    const T* x;

    __device__ Line line(std::int64_t i) const {
        return {i / shape.c / shape.s, i / shape.c % shape.s, i % shape.c,
                i < shape.r * shape.s * shape.c};
    }
    __device__ float at(const Line& tap, std::int64_t p) const {
        const Pixel y = pixel_of(p, shape.n, shape.out_h(), shape.out_w());
        const std::int64_t h = y.h * shape.stride - shape.pad + tap.r;
        const std::int64_t w = y.w * shape.stride - shape.pad + tap.s;
        if (!tap.exists || h < 0 || h >= shape.h || w < 0 || w >= shape.w) return 0;
        return x[((y.n * shape.h + h) * shape.w + w) * shape.c + tap.c];
    }
};

constexpr int kTileM = 64;

// product [rows,columns] = a b, then bias?, residual?, relu?.
template <int TN, typename A, typename B, typename T>
__global__ void __launch_bounds__(256)
    multiply(A a, B b, std::int64_t rows, std::int64_t columns, std::int64_t depth,
             ConvolutionEpilogue<T> epilogue, T* product) {
    using Tile = GemmTile<kTileM, TN>;
    Tile tile;
    tile.clear();
    const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.x) * kTileM;
    const std::int64_t column0 = static_cast<std::int64_t>(blockIdx.y) * TN;
    tile.add(a, row0, b, column0, 0, depth);
    for (int i = 0; i < Tile::kRows; ++i)
        for (int j = 0; j < Tile::kColumns; ++j) {
            const std::int64_t row = row0 + Tile::row(i), column = column0 + Tile::column(j);
            if (row >= rows || column >= columns) continue;
            float value = tile.sum[i][j];
            if (epilogue.bias) value += epilogue.bias[column];
            if (epilogue.residual) value += epilogue.residual[row * columns + column];
            if (epilogue.relu && value < 0) value = 0;
            product[row * columns + column] = T(value);
        }
}

// partial [splits,rows,columns]: block z sums its share of the depth, and a second kernel adds the
// shares in order. Without the split a filter has too few tiles to fill a GPU.
template <int TN, typename A, typename B>
__global__ void __launch_bounds__(256)
    multiply_split(A a, B b, std::int64_t rows, std::int64_t columns, std::int64_t depth,
                   std::int64_t depth_of_split, float* partial) {
    using Tile = GemmTile<kTileM, TN>;
    Tile tile;
    tile.clear();
    const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.x) * kTileM;
    const std::int64_t column0 = static_cast<std::int64_t>(blockIdx.y) * TN;
    const std::int64_t begin = static_cast<std::int64_t>(blockIdx.z) * depth_of_split;
    const std::int64_t end = begin + depth_of_split < depth ? begin + depth_of_split : depth;
    tile.add(a, row0, b, column0, begin, end);
    for (int i = 0; i < Tile::kRows; ++i)
        for (int j = 0; j < Tile::kColumns; ++j) {
            const std::int64_t row = row0 + Tile::row(i), column = column0 + Tile::column(j);
            if (row < rows && column < columns)
                partial[(blockIdx.z * rows + row) * columns + column] = tile.sum[i][j];
        }
}

__global__ void add_splits(const float* partial, std::int64_t splits, float* product,
                           std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        float sum = 0;
        for (std::int64_t split = 0; split < splits; ++split) sum += partial[split * count + i];
        product[i] = sum;
    }
}

// Calls run(std::integral_constant<int, TN>) with a tile width that fits the product.
template <typename Run>
void with_tile_width(std::int64_t columns, const Run& run) {
    if (columns <= 16)
        run(std::integral_constant<int, 16>{});
    else
        run(std::integral_constant<int, 64>{});
}

template <typename A, typename B, typename T>
void product(const char* name, const A& a, const B& b, std::int64_t rows, std::int64_t columns,
             std::int64_t depth, const ConvolutionEpilogue<T>& epilogue, T* out) {
    if (rows == 0) return;
    with_tile_width(columns, [&](auto width) {
        launch({.name = name,
                .grid = {ceil_div(rows, kTileM), ceil_div(columns, width)},
                .block = 256},
               multiply<width, A, B, T>, a, b, rows, columns, depth, epilogue, out);
    });
}

#ifdef CNPD_HAS_CUDNN
template <int Width, typename T>
__global__ void add_epilogue(ConvolutionEpilogue<T> epilogue, std::int64_t rows,
                             std::int64_t channels, T* y) {
    for (std::int64_t c = Width * threadIdx.x; c < channels; c += Width * blockDim.x) {
        const auto bias = load_if<Width>(epilogue.bias, c);
        for (std::int64_t r = first_row(); r < rows; r += rows_at_once()) {
            const std::int64_t i = r * channels + c;
            auto values = load<Width>(y + i);
            const auto residual = load_if<Width>(epilogue.residual, i);
            for (int k = 0; k < Width; ++k) {
                const float value = values.of[k] + bias.of[k] + residual.of[k];
                values.of[k] = T(epilogue.relu && value < 0 ? 0.0f : value);
            }
            store(y + i, values);
        }
    }
}
#endif

}  // namespace

namespace implicit_gemm {

template <typename T>
void convolution_forward(const ConvolutionShape& shape, const T* x, const T* filter,
                         const ConvolutionEpilogue<T>& epilogue, T* y) {
    const std::int64_t depth = shape.r * shape.s * shape.c;
    product("convolution_forward", WindowLoader<T>{shape, x},
            MatrixLoader<true, T>{filter, shape.k, depth}, shape.n * shape.out_h() * shape.out_w(),
            shape.k, depth, epilogue, y);
}

template <typename T>
void convolution_dgrad(const ConvolutionShape& shape, const T* dy, const T* filter, T* dx) {
    product("convolution_dgrad", ReachedLoader<T>{shape, dy}, TapLoader<T>{shape, filter},
            shape.n * shape.h * shape.w, shape.c, shape.r * shape.s * shape.k,
            ConvolutionEpilogue<T>{}, dx);
}

template <typename T>
void convolution_wgrad(const ConvolutionShape& shape, const T* x, const T* dy, float* dfilter) {
    const std::int64_t columns = shape.r * shape.s * shape.c;
    const std::int64_t pixels = shape.n * shape.out_h() * shape.out_w();
    constexpr std::int64_t kLeastDepth = 256, kMostSplits = 64;
    const std::int64_t splits = std::clamp<std::int64_t>(pixels / kLeastDepth, 1, kMostSplits);
    const std::int64_t depth_of_split = ceil_div(pixels, splits);
    const DeviceWorkspace partial(static_cast<std::size_t>(splits * shape.k * columns) *
                                  sizeof(float));
    using A = MatrixLoader<false, T>;
    using B = SeenLoader<T>;
    with_tile_width(columns, [&](auto width) {
        launch({.name = "convolution_wgrad",
                .grid = {ceil_div(shape.k, kTileM), ceil_div(columns, width),
                         static_cast<unsigned>(splits)},
                .block = 256},
               multiply_split<width, A, B>, A{dy, shape.k, pixels}, B{shape, x}, shape.k, columns,
               pixels, depth_of_split, partial.floats());
    });
    launch_elements("convolution_wgrad", shape.k * columns, add_splits, partial.floats(), splits,
                    dfilter);
}

}  // namespace implicit_gemm

#ifdef CNPD_HAS_CUDNN

namespace {

// cuDNN's gradient of a filter has the filter's type.
bool cudnn_wgrad(const ConvolutionShape& shape, const float* x, const float* dy, float* dfilter) {
    return cudnn::wgrad(shape, x, dy, dfilter);
}
bool cudnn_wgrad(const ConvolutionShape& shape, const bfloat16* x, const bfloat16* dy,
                 float* dfilter) {
    const std::int64_t count = shape.k * shape.r * shape.s * shape.c;
    const DeviceWorkspace rounded(static_cast<std::size_t>(count) * sizeof(bfloat16));
    if (!cudnn::wgrad(shape, x, dy, rounded.as<bfloat16>())) return false;
    cast(rounded.as<bfloat16>(), count, dfilter);
    return true;
}

}  // namespace

// cuDNN does not support every shape.
template <typename T>
void convolution_forward(const ConvolutionShape& shape, const T* x, const T* filter,
                         const ConvolutionEpilogue<T>& epilogue, T* y) {
    const std::int64_t rows = shape.n * shape.out_h() * shape.out_w();
    if (rows == 0) return;
    if (!cudnn::forward(shape, x, filter, y))
        return implicit_gemm::convolution_forward(shape, x, filter, epilogue, y);
    if (!epilogue.bias && !epilogue.residual && !epilogue.relu) return;
    const int width = widest_access_of_rows(shape.k, epilogue.bias, epilogue.residual, y);
    launch(rows_shape("convolution_forward", rows, shape.k / width),
           width > 1 ? add_epilogue<kWidest<T>, T> : add_epilogue<1, T>, epilogue, rows, shape.k,
           y);
}

template <typename T>
void convolution_dgrad(const ConvolutionShape& shape, const T* dy, const T* filter, T* dx) {
    if (shape.n > 0 && !cudnn::dgrad(shape, dy, filter, dx))
        implicit_gemm::convolution_dgrad(shape, dy, filter, dx);
}

template <typename T>
void convolution_wgrad(const ConvolutionShape& shape, const T* x, const T* dy, float* dfilter) {
    if (shape.n == 0 || !cudnn_wgrad(shape, x, dy, dfilter))
        implicit_gemm::convolution_wgrad(shape, x, dy, dfilter);
}

#else

namespace {

void say_that_cudnn_is_missing() {
    if constexpr (kGpuBackend == GpuBackend::real) {
        static const bool said = [] {
            notice(
                "this program was built without cuDNN, so convolutions use a slower kernel; "
                "install cuDNN in the CUDA toolkit's prefix, or name its prefix with "
                "-DCNPD_CUDA_ROOTS, and rebuild");
            return true;
        }();
        static_cast<void>(said);
    }
}

}  // namespace

template <typename T>
void convolution_forward(const ConvolutionShape& shape, const T* x, const T* filter,
                         const ConvolutionEpilogue<T>& epilogue, T* y) {
    say_that_cudnn_is_missing();
    implicit_gemm::convolution_forward(shape, x, filter, epilogue, y);
}

template <typename T>
void convolution_dgrad(const ConvolutionShape& shape, const T* dy, const T* filter, T* dx) {
    implicit_gemm::convolution_dgrad(shape, dy, filter, dx);
}

template <typename T>
void convolution_wgrad(const ConvolutionShape& shape, const T* x, const T* dy, float* dfilter) {
    implicit_gemm::convolution_wgrad(shape, x, dy, dfilter);
}

#endif

CNPD_INSTANTIATE(convolution_forward);
CNPD_INSTANTIATE(convolution_dgrad);
CNPD_INSTANTIATE(convolution_wgrad);

}  // namespace cnpd::kernels::cuda
