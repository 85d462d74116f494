// Convolution as a matrix product whose left matrix is never made ("implicit GEMM"): the loaders
// below know where the element in row m, column k of the unrolled image would come from. This is
// what runs without cuDNN; 2 N OH OW K R S C FLOP, bounded by float32 arithmetic from about 32
// channels on and by the loaders' index arithmetic below.
#include "kernels/convolution/convolution.h"

#include <algorithm>

#include "kernels/common/cuda.h"
#include "kernels/common/device_workspace.h"
#include "kernels/common/gemm_tile.h"
#include "kernels/common/grid.h"
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
struct WindowLoader {
    static constexpr bool along_k = true;
    using Line = Pixel;
    ConvolutionShape shape;
    const float* x;

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

// Backward to the input: row m is an input pixel, column (r, s, k) an element of dy that it reached
// through filter tap (r, s).
struct ReachedLoader {
    static constexpr bool along_k = true;
    using Line = Pixel;
    ConvolutionShape shape;
    const float* dy;

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
struct TapLoader {  // the other side: column c of the product
    static constexpr bool along_k = false;
    struct Line {
        std::int64_t c;
    };
    ConvolutionShape shape;
    const float* filter;

    __device__ Line line(std::int64_t c) const { return {c}; }
    __device__ float at(const Line& line, std::int64_t k) const {
        if (line.c >= shape.c) return 0;
        return filter[(k % shape.k * shape.r * shape.s + k / shape.k) * shape.c + line.c];
    }
};

// Backward to the filter: the sum runs over output pixels p; column (r, s, c) finds what the tap
// saw from there.
struct SeenLoader {
    static constexpr bool along_k = false;
    struct Line {
        std::int64_t r, s, c;
        bool exists;
    };
    ConvolutionShape shape;
    const float* x;

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
template <int TN, typename A, typename B>
__global__ void __launch_bounds__(256)
    multiply(A a, B b, std::int64_t rows, std::int64_t columns, std::int64_t depth,
             ConvolutionEpilogue epilogue, float* product) {
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
            product[row * columns + column] = value;
        }
}

// partial [splits,rows,columns]: block z sums its share of the depth. A second kernel adds the
// shares, in order: there are far too few tiles in a filter to fill a GPU otherwise.
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

// Calls run(std::integral_constant<int, TN>) with tiles as wide as the product has use for.
template <typename Run>
void with_tile_width(std::int64_t columns, const Run& run) {
    if (columns <= 16)
        run(std::integral_constant<int, 16>{});
    else
        run(std::integral_constant<int, 64>{});
}

template <typename A, typename B>
void product(const char* name, const A& a, const B& b, std::int64_t rows, std::int64_t columns,
             std::int64_t depth, const ConvolutionEpilogue& epilogue, float* out) {
    if (rows == 0) return;
    with_tile_width(columns, [&](auto width) {
        launch({.name = name,
                .grid = {ceil_div(rows, kTileM), ceil_div(columns, width)},
                .block = 256},
               multiply<width, A, B>, a, b, rows, columns, depth, epilogue, out);
    });
}

#ifdef CNPD_HAS_CUDNN
__global__ void add_epilogue(ConvolutionEpilogue epilogue, std::int64_t channels, float* y,
                             std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        float value = y[i];
        if (epilogue.bias) value += epilogue.bias[i % channels];
        if (epilogue.residual) value += epilogue.residual[i];
        y[i] = epilogue.relu && value < 0 ? 0.0f : value;
    }
}
#endif

}  // namespace

namespace implicit_gemm {

void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         const ConvolutionEpilogue& epilogue, float* y) {
    const std::int64_t depth = shape.r * shape.s * shape.c;
    product("convolution_forward", WindowLoader{shape, x},
            MatrixLoader<true>{filter, shape.k, depth}, shape.n * shape.out_h() * shape.out_w(),
            shape.k, depth, epilogue, y);
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx) {
    product("convolution_dgrad", ReachedLoader{shape, dy}, TapLoader{shape, filter},
            shape.n * shape.h * shape.w, shape.c, shape.r * shape.s * shape.k, {}, dx);
}

void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter) {
    const std::int64_t columns = shape.r * shape.s * shape.c;
    const std::int64_t pixels = shape.n * shape.out_h() * shape.out_w();
    constexpr std::int64_t kLeastDepth = 256, kMostSplits = 64;
    const std::int64_t splits = std::clamp<std::int64_t>(pixels / kLeastDepth, 1, kMostSplits);
    const std::int64_t depth_of_split = ceil_div(pixels, splits);
    const DeviceWorkspace partial(static_cast<std::size_t>(splits * shape.k * columns) *
                                  sizeof(float));
    using A = MatrixLoader<false>;
    with_tile_width(columns, [&](auto width) {
        launch({.name = "convolution_wgrad",
                .grid = {ceil_div(shape.k, kTileM), ceil_div(columns, width),
                         static_cast<unsigned>(splits)},
                .block = 256},
               multiply_split<width, A, SeenLoader>, A{dy, shape.k, pixels}, SeenLoader{shape, x},
               shape.k, columns, pixels, depth_of_split, partial.floats());
    });
    launch_elements("convolution_wgrad", shape.k * columns, add_splits, partial.floats(), splits,
                    dfilter);
}

}  // namespace implicit_gemm

#ifdef CNPD_HAS_CUDNN

// cuDNN does not know every shape.
void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         const ConvolutionEpilogue& epilogue, float* y) {
    const std::int64_t count = shape.n * shape.out_h() * shape.out_w() * shape.k;
    if (count == 0) return;
    if (!cudnn::forward(shape, x, filter, y))
        implicit_gemm::convolution_forward(shape, x, filter, epilogue, y);
    else if (epilogue.bias || epilogue.residual || epilogue.relu)
        launch_elements("convolution_forward", count, add_epilogue, epilogue, shape.k, y);
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx) {
    if (shape.n > 0 && !cudnn::dgrad(shape, dy, filter, dx))
        implicit_gemm::convolution_dgrad(shape, dy, filter, dx);
}

void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter) {
    if (shape.n == 0 || !cudnn::wgrad(shape, x, dy, dfilter))
        implicit_gemm::convolution_wgrad(shape, x, dy, dfilter);
}

#else

void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         const ConvolutionEpilogue& epilogue, float* y) {
    implicit_gemm::convolution_forward(shape, x, filter, epilogue, y);
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx) {
    implicit_gemm::convolution_dgrad(shape, dy, filter, dx);
}

void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter) {
    implicit_gemm::convolution_wgrad(shape, x, dy, dfilter);
}

#endif

}  // namespace cnpd::kernels::cuda
