// Forward and dgrad. Filters are transformed once for the whole call. Then each thread processes
// blocks of tiles: it transforms their inputs, multiplies the 36 matrices, transforms back and
// applies the epilogue. A block's matrices fit the thread's L2 cache, so that main memory is read
// and written once, as in direct convolution.
#include "kernels/convolution/winograd.h"

#include <omp.h>

#include "kernels/common/parallel.h"
#include "kernels/common/workspace.h"
#include "kernels/convolution/winograd_strided_transforms.h"
#include "kernels/convolution/winograd_tiles.h"

namespace cnpd::kernels::winograd {
namespace {

// Parameters of forward and dgrad: from `in` [N,H,W,C] to `out` [N,OH,OW,K].
struct Problem {
    std::int64_t n, h, w, c;
    std::int64_t out_h, out_w, k;
    std::int64_t offset;  // of the first tile's window, above and left of the image
};

// Output channels whose products are kept at a time.
constexpr std::int64_t kChunk = 64;

// Tiles in a block: as many as keep the transformed inputs and products of a chunk within about
// half of an L2 cache of 1 MB, but enough that reading the transformed filters (4 bytes for each 2
// * tiles operations) is not the limit. Blocks begin at multiples of a panel: a tile then has the
// same row of a panel, and the same bits, for any number of threads.
template <class Scheme>
std::int64_t block_tiles(const Problem& problem, std::int64_t count, int threads) {
    constexpr std::int64_t kBytes = 600 << 10, kFewest = 64;
    const std::int64_t tile_bytes = kPositions<Scheme> * static_cast<std::int64_t>(sizeof(float)) *
                                    (panels(problem.c) + panels(std::min(problem.k, kChunk))) *
                                    kPanel;
    const std::int64_t fitting = std::max(kBytes / tile_bytes, std::min(kFewest, problem.c / 4));
    const std::int64_t blocks = divide_up(divide_up(count, fitting), threads) * threads;
    return divide_up(divide_up(count, blocks), kPanel) * kPanel;
}

// U = G g G^T for output panel `panel`: `to` holds [C,K] in panels for each position. Forward: g =
// filter[k,:,:,c]; these are far apart in memory and are gathered first.
template <class Scheme>
void transform_filter_forward(const Problem& problem, const float* filter, std::int64_t panel,
                              const Panels& to) {
    const std::int64_t first = panel * kPanel,
                       lanes = std::min<std::int64_t>(kPanel, problem.k - first);
    alignas(64) float taps[kPanel][9][kPanel] = {};  // [c][tap][k]
    for (std::int64_t c0 = 0; c0 < problem.c; c0 += kPanel) {
        const std::int64_t channels = std::min<std::int64_t>(kPanel, problem.c - c0);
        for (std::int64_t k = 0; k < lanes; ++k)
            for (int tap = 0; tap < 9; ++tap)
                for (std::int64_t c = 0; c < channels; ++c)
                    taps[c][tap][k] = filter[((first + k) * 9 + tap) * problem.c + c0 + c];
        for (std::int64_t c = 0; c < channels; ++c)
            for (int v = 0; v < kPanel; v += simd::kWidth) {
                float* out = to.panel(0, panel) + (c0 + c) * kPanel + v;
                both_dimensions<3, Scheme::kDistinct, Scheme::filter>(
                    [&](int tap) { return simd::load(&taps[c][tap][v]); },
                    [&](int p, Vector u) { simd::store(out + p * to.position_stride, u); });
            }
    }
}

// dgrad: the roles of input and output channels are exchanged (problem.c is the filter's K) and
// the taps are rotated by 180 degrees.
template <class Scheme>
void transform_filter_dgrad(const Problem& problem, const float* filter, std::int64_t panel,
                            const Panels& to) {
    for (std::int64_t c = 0; c < problem.c; ++c)
        for (int v = 0; v < kPanel; v += simd::kWidth) {
            const std::int64_t first = panel * kPanel + v;
            const float* from = filter + c * 9 * problem.k + first;
            float* out = to.panel(0, panel) + c * kPanel + v;
            both_dimensions<3, Scheme::kDistinct, Scheme::filter>(
                [&](int tap) {
                    return simd::load_first(from + (8 - tap) * problem.k, problem.k - first);
                },
                [&](int p, Vector u) { simd::store(out + p * to.position_stride, u); });
        }
}

// Y = A^T M A for channels [first, last) of one tile, then the epilogue; `products` holds only
// these channels.
template <class Scheme>
void transform_output(const Problem& problem, const Tiles& tiles, std::int64_t tile,
                      const Panels& products, std::int64_t row, std::int64_t first,
                      std::int64_t last, const ConvolutionEpilogue<float>& epilogue, float* y) {
    const Tiles::Place place = tiles.place(tile);
    constexpr int kOutput = Scheme::kOutput;
    const std::int64_t top = place.row * kOutput, left = place.column * kOutput;
    const std::int64_t height = std::min<std::int64_t>(kOutput, tiles.h - top);
    const std::int64_t width = std::min<std::int64_t>(kOutput, tiles.w - left);
    const std::int64_t corner = ((place.image * tiles.h + top) * tiles.w + left) * problem.k;
    Vector out[kOutput * kOutput];
    for (std::int64_t k = first; k < last; k += simd::kWidth) {
        const float* in = products.panel(0, (k - first) / kPanel) + row * kPanel + k % kPanel;
        both_dimensions<Scheme::kTransformed, kOutput, Scheme::output>(
            [&](int p) { return simd::load(in + p * products.position_stride); },
            [&](int i, Vector value) { out[i] = value; });
        const std::int64_t lanes = problem.k - k;
        const Vector bias = epilogue.bias ? simd::load_first(epilogue.bias + k, lanes) : Vector{};
        for (std::int64_t i = 0; i < height; ++i)
            for (std::int64_t j = 0; j < width; ++j) {
                const std::int64_t at = corner + (i * tiles.w + j) * problem.k + k;
                Vector value = out[i * kOutput + j] + bias;
                if (epilogue.residual) value += simd::load_first(epilogue.residual + at, lanes);
                if (epilogue.relu) value = value > 0.f ? value : Vector{};
                simd::store_first(y + at, value, lanes);
            }
    }
}

// One block of tiles, from input to output.
template <class Scheme>
void compute_block(const Problem& problem, const Images& images, const Tiles& tiles,
                   std::int64_t first, std::int64_t count, const Panels& filter,
                   const Panels& inputs, const Panels& products,
                   const ConvolutionEpilogue<float>& epilogue, float* y) {
    transform_tiles<Scheme::kWindow, Scheme::kTransformed, Scheme::input>(images, tiles, first,
                                                                          count, inputs);
    for (std::int64_t k = 0; k < problem.k; k += kChunk) {
        const std::int64_t last = std::min(k + kChunk, problem.k);
        for (int p = 0; p < kPositions<Scheme>; ++p)
            for (std::int64_t panel = 0; panel < panels(last - k); ++panel)
                for (std::int64_t row = 0; row < count; row += kPanel)
                    multiply_block<Left::rows>(
                        static_cast<int>(std::min<std::int64_t>(kPanel, count - row)),
                        inputs.panel(p, 0) + row * kPanel, inputs.rows * kPanel,
                        filter.panel(slot<Scheme>(p), k / kPanel + panel), problem.c, false,
                        products.panel(p, panel) + row * kPanel);
        for (std::int64_t row = 0; row < count; ++row)
            transform_output<Scheme>(problem, tiles, first + row, products, row, k, last, epilogue,
                                     y);
    }
}

using FilterTransform = void (*)(const Problem&, const float*, std::int64_t, const Panels&);

template <class Scheme, FilterTransform transform_filter>
void correlate(const Problem& problem, const float* in, const float* filter,
               const ConvolutionEpilogue<float>& epilogue, float* out) {
    const Tiles tiles(problem.n, problem.out_h, problem.out_w, Scheme::kOutput);
    const int threads = omp_in_parallel() ? 1 : thread_count();
    const std::int64_t block = block_tiles<Scheme>(problem, tiles.count, threads);
    const std::int64_t chunk = std::min(problem.k, kChunk);

    constexpr std::int64_t kMatrices = kPositions<Scheme>;
    const std::int64_t zeros_size = panels(problem.c) * kPanel;
    const std::int64_t filter_size = kSlots<Scheme> * Panels::stride(problem.c, problem.k);
    const std::int64_t inputs_size = kMatrices * Panels::stride(block, problem.c);
    const std::int64_t thread_size = inputs_size + kMatrices * Panels::stride(block, chunk);
    const Workspace workspace(static_cast<std::int64_t>(sizeof(float)) *
                              (zeros_size + filter_size + threads * thread_size));
    float* zeros = workspace.floats();
    std::fill_n(zeros, zeros_size, 0.f);
    const Panels transformed(zeros + zeros_size, problem.c, problem.k);
    float* blocks = zeros + zeros_size + filter_size;
    const Images images = {in,   problem.h, problem.w, problem.c, Scheme::kStep, problem.offset,
                           zeros};

#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (std::int64_t panel = 0; panel < panels(problem.k); ++panel)
            transform_filter(problem, filter, panel, transformed);

        float* mine = blocks + omp_get_thread_num() * thread_size;
        const Panels inputs(mine, block, problem.c);
        const Panels products(mine + inputs_size, block, chunk);
#pragma omp for schedule(dynamic) nowait
        for (std::int64_t first = 0; first < tiles.count; first += block)
            compute_block<Scheme>(problem, images, tiles, first,
                                  std::min(block, tiles.count - first), transformed, inputs,
                                  products, epilogue, out);
    }
}

}  // namespace

bool applies(const ConvolutionShape& shape) {
    if (shape.r != 3 || shape.s != 3) return false;
    if (shape.stride == 1 ? shape.pad > 2 : shape.stride != 2 || shape.pad != 1) return false;
    // With fewer channels the transforms cost as much as the multiplications save (measured against
    // oneDNN with bench/convolution.cpp).
    const std::int64_t fewest_channels = shape.stride == 1 ? 16 : 32;
    if (std::min(shape.c, shape.k) < fewest_channels) return false;
    // Tiles that extend beyond the image compute unused outputs. At least a quarter of the work
    // must be saved.
    const std::int64_t positions = shape.stride == 1 ? kPositions<Stride1> : kPositions<Stride2>;
    const std::int64_t tiles = divide_up(shape.out_h(), 4) * divide_up(shape.out_w(), 4);
    return positions * tiles * 4 <= 9 * shape.out_h() * shape.out_w() * 3;
}

void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         const ConvolutionEpilogue<float>& epilogue, float* y) {
    const Problem problem = {.n = shape.n,
                             .h = shape.h,
                             .w = shape.w,
                             .c = shape.c,
                             .out_h = shape.out_h(),
                             .out_w = shape.out_w(),
                             .k = shape.k,
                             .offset = shape.pad};
    if (shape.stride == 1)
        correlate<Stride1, transform_filter_forward<Stride1>>(problem, x, filter, epilogue, y);
    else
        correlate<Stride2, transform_filter_forward<Stride2>>(problem, x, filter, epilogue, y);
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx) {
    Problem problem = {.n = shape.n,
                       .h = shape.out_h(),
                       .w = shape.out_w(),
                       .c = shape.k,
                       .out_h = shape.h,
                       .out_w = shape.w,
                       .k = shape.c,
                       .offset = 2 - shape.pad};
    if (shape.stride == 1)
        return correlate<Stride1, transform_filter_dgrad<Stride1>>(problem, dy, filter, {}, dx);
    problem.offset = 0;
    correlate<Stride2Dgrad, transform_filter_dgrad<Stride2Dgrad>>(problem, dy, filter, {}, dx);
}

}  // namespace cnpd::kernels::winograd
