// Forward and dgrad. Filters are transformed once for the whole call, or kept from an earlier one.
// Then each thread processes blocks of tiles: it transforms their inputs, multiplies the 36
// matrices, transforms back and applies the epilogue. A block's matrices fit the thread's L2 cache,
// so that main memory is read and written once, as in direct convolution.
//
// With few tiles there are not enough blocks for all threads, and reading the transformed filter is
// the limit. The threads then share one block: each transforms some of its inputs, and then
// computes some of the output channels, for which it alone reads the filter.
#include "kernels/convolution/winograd.h"

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

// Up to so many tiles of 4x4 outputs, reading the transformed filter takes longer than the
// multiplications that F(4x4, 3x3) saves compared with F(2x2, 3x3).
constexpr std::int64_t kFewTiles = 6;

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

// Y = A^T M A for channels [first, last) of the tile at `place`, then the epilogue; `products`
// holds only these channels.
template <class Scheme>
void transform_output(const Problem& problem, const Tiles& tiles, const Tiles::Place& place,
                      const Panels& products, std::int64_t row, std::int64_t first,
                      std::int64_t last, const ConvolutionEpilogue<float>& epilogue, float* y) {
    constexpr int kOutput = Scheme::kOutput;
    const std::int64_t top = place.row * kOutput, left = place.column * kOutput;
    const std::int64_t height = std::min<std::int64_t>(kOutput, tiles.h - top);
    const std::int64_t width = std::min<std::int64_t>(kOutput, tiles.w - left);
    const std::int64_t corner = ((place.image * tiles.h + top) * tiles.w + left) * problem.k;
    const auto offset = [&](std::int64_t i, std::int64_t j) {
        return corner + (i * tiles.w + j) * problem.k;
    };
    const auto transform = [&](std::int64_t k, const auto& store) {
        const float* const in = products.panel(0, (k - first) / kPanel) + row * kPanel + k % kPanel;
        both_dimensions<Scheme::kTransformed, kOutput, Scheme::output>(
            [&](int p) { return simd::load(in + p * products.position_stride); }, store);
    };
    std::int64_t k = first;
    if (height == kOutput && width == kOutput)
        for (; k + simd::kWidth <= std::min(last, problem.k); k += simd::kWidth) {
            const Vector bias = epilogue.bias ? simd::load(epilogue.bias + k) : Vector{};
            transform(k, [&](int i, Vector value) {
                const std::int64_t at = offset(i / kOutput, i % kOutput) + k;
                value += bias;
                if (epilogue.residual) value += simd::load(epilogue.residual + at);
                if (epilogue.relu) value = value > 0.f ? value : Vector{};
                simd::store(y + at, value);
            });
        }
    Vector out[kOutput * kOutput];
    for (; k < last; k += simd::kWidth) {
        transform(k, [&](int i, Vector value) { out[i] = value; });
        const std::int64_t lanes = problem.k - k;
        const Vector bias = epilogue.bias ? simd::load_first(epilogue.bias + k, lanes) : Vector{};
        for (std::int64_t i = 0; i < height; ++i)
            for (std::int64_t j = 0; j < width; ++j) {
                const std::int64_t at = offset(i, j) + k;
                Vector value = out[i * kOutput + j] + bias;
                if (epilogue.residual) value += simd::load_first(epilogue.residual + at, lanes);
                if (epilogue.relu) value = value > 0.f ? value : Vector{};
                simd::store_first(y + at, value, lanes);
            }
    }
}

// One call's tensors. Its functions are not inlined: the compiler could contract the same
// expression to different multiply-adds at two places, and the bits would depend on the plan.
template <class Scheme>
struct Call {
    const Problem& problem;
    Images images;
    Tiles tiles;
    Panels filter;  // transformed
    const ConvolutionEpilogue<float>& epilogue;
    float* out;

    [[gnu::noinline]] void transform_inputs(std::int64_t first, std::int64_t count,
                                            const Panels& inputs) const {
        transform_tiles<Scheme::kWindow, Scheme::kTransformed, Scheme::input>(images, tiles, first,
                                                                              count, inputs);
    }
    // Output channels [k, last) of tiles [first, first + count).
    [[gnu::noinline]] void compute_channels(std::int64_t first, std::int64_t count, std::int64_t k,
                                            std::int64_t last, const Panels& inputs,
                                            const Panels& products) const {
        for (int p = 0; p < kPositions<Scheme>; ++p)
            for (std::int64_t panel = 0; panel < panels(last - k); ++panel)
                for (std::int64_t row = 0; row < count; row += kPanel)
                    multiply_block<Left::rows>(
                        static_cast<int>(std::min<std::int64_t>(kPanel, count - row)),
                        inputs.panel(p, 0) + row * kPanel, inputs.rows * kPanel,
                        filter.panel(slot<Scheme>(p), k / kPanel + panel), problem.c, false,
                        products.panel(p, panel) + row * kPanel);
        Tiles::Place place = tiles.place(first);
        for (std::int64_t row = 0; row < count; ++row, place = tiles.after(place))
            transform_output<Scheme>(problem, tiles, place, products, row, k, last, epilogue, out);
    }
};

// How a call is shared among threads. No sum is divided, so the bits do not depend on it.
struct Plan {
    int threads;
    bool shared;         // all threads compute one block of all tiles
    std::int64_t block;  // tiles
    std::int64_t chunk;  // output channels whose products are kept at a time
};

template <class Scheme>
Plan make_plan(const Problem& problem, std::int64_t tiles) {
    constexpr std::int64_t kOneBlock = 64, kLargeFilter = 1 << 20, kTransforms = 400;
    const std::int64_t filter_bytes = kSlots<Scheme> * problem.c * problem.k * 4;
    const std::int64_t operations = tiles * (2 * kPositions<Scheme> * problem.c * problem.k +
                                             kTransforms * (problem.c + problem.k));
    const int threads = team_for(operations);
    const std::int64_t chunk = std::min(problem.k, kChunk);
    if (threads == 1 ||
        (tiles >= threads * kPanel && (tiles > kOneBlock || filter_bytes < kLargeFilter)))
        return {threads, false, block_tiles<Scheme>(problem, tiles, threads), chunk};
    const std::int64_t share = divide_up(panels(problem.k), threads) * kPanel;
    return {threads, true, divide_up(tiles, kPanel) * kPanel, std::min(chunk, share)};
}

// Each thread has its own memory for one block.
template <class Scheme>
void compute_blocks(const Call<Scheme>& call, const Plan& plan, float* memory,
                    std::int64_t memory_size) {
    run_pieces(
        divide_up(call.tiles.count, plan.block), plan.threads, [&](std::int64_t piece, int thread) {
            float* const own = memory + thread * memory_size;
            const Panels inputs(own, plan.block, call.problem.c);
            const Panels products(own + kPositions<Scheme> * inputs.position_stride, plan.block,
                                  plan.chunk);
            const std::int64_t first = piece * plan.block;
            const std::int64_t count = std::min(plan.block, call.tiles.count - first);
            call.transform_inputs(first, count, inputs);
            for (std::int64_t k = 0; k < call.problem.k; k += plan.chunk)
                call.compute_channels(first, count, k, std::min(k + plan.chunk, call.problem.k),
                                      inputs, products);
        });
}

// The inputs are common, the products are the thread's own.
template <class Scheme>
void share_block(const Call<Scheme>& call, const Plan& plan, const Panels& inputs, float* memory,
                 std::int64_t memory_size) {
    const std::int64_t count = call.tiles.count, share = divide_up(count, plan.threads);
    run_pieces(divide_up(count, share), plan.threads, [&](std::int64_t piece, int) {
        const std::int64_t first = piece * share;
        call.transform_inputs(first, std::min(share, count - first), inputs.from_row(first));
    });
    run_pieces(
        divide_up(call.problem.k, plan.chunk), plan.threads, [&](std::int64_t piece, int thread) {
            const std::int64_t k = piece * plan.chunk;
            call.compute_channels(0, count, k, std::min(k + plan.chunk, call.problem.k), inputs,
                                  Panels(memory + thread * memory_size, plan.block, plan.chunk));
        });
}

using FilterTransform = void (*)(const Problem&, const float*, std::int64_t, const Panels&);

// Output panels [panel, last). Not inlined, as above.
template <FilterTransform transform>
[[gnu::noinline]] void transform_panels(const Problem& problem, const float* filter,
                                        std::int64_t panel, std::int64_t last, const Panels& to) {
    for (; panel < last; ++panel) transform(problem, filter, panel, to);
}

// A filter, and where its transformed values are kept, if they are.
struct Filter {
    const float* values;
    FilterLayouts* layouts;
    FilterLayout layout;
};

template <class Scheme, FilterTransform transform_filter>
void correlate(const Problem& problem, const float* in, const Filter& filter,
               const ConvolutionEpilogue<float>& epilogue, float* out) {
    const Tiles tiles(problem.n, problem.out_h, problem.out_w, Scheme::kOutput);
    const Plan plan = make_plan<Scheme>(problem, tiles.count);
    const auto transform = [&](float* to) {
        const Panels transformed(to, problem.c, problem.k);
        parallel_for(panels(problem.k), 1, [&](std::int64_t first, std::int64_t last) {
            transform_panels<transform_filter>(problem, filter.values, first, last, transformed);
        });
    };
    constexpr std::int64_t kMatrices = kPositions<Scheme>;
    const std::int64_t zeros_size = panels(problem.c) * kPanel;
    const std::int64_t filter_size = kSlots<Scheme> * Panels::stride(problem.c, problem.k);
    const std::int64_t inputs_size = kMatrices * Panels::stride(plan.block, problem.c);
    const std::int64_t products_size = kMatrices * Panels::stride(plan.block, plan.chunk);
    const std::int64_t blocks_size =
        (plan.shared ? inputs_size : plan.threads * inputs_size) + plan.threads * products_size;

    const float* kept = filter.layouts
                            ? filter.layouts->find_or_make(filter.layout, filter_size, transform)
                            : nullptr;
    const Workspace workspace(static_cast<std::int64_t>(sizeof(float)) *
                              (zeros_size + blocks_size + (kept ? 0 : filter_size)));
    float* const zeros = workspace.floats();
    std::fill_n(zeros, zeros_size, 0.f);
    float* const blocks = zeros + zeros_size;
    if (!kept) transform(blocks + blocks_size);
    const Call<Scheme> call = {
        .problem = problem,
        .images = {in, problem.h, problem.w, problem.c, Scheme::kStep, problem.offset, zeros},
        .tiles = tiles,
        .filter = {const_cast<float*>(kept ? kept : blocks + blocks_size), problem.c, problem.k},
        .epilogue = epilogue,
        .out = out};

    if (plan.shared)
        share_block(call, plan, {blocks, plan.block, problem.c}, blocks + inputs_size,
                    products_size);
    else
        compute_blocks(call, plan, blocks, inputs_size + products_size);
}

}  // namespace

std::int64_t tiles_of(const ConvolutionShape& shape) {
    return shape.n * divide_up(shape.out_h(), 4) * divide_up(shape.out_w(), 4);
}

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
                         FilterLayouts* layouts, const ConvolutionEpilogue<float>& epilogue,
                         float* y) {
    const Problem problem = {.n = shape.n,
                             .h = shape.h,
                             .w = shape.w,
                             .c = shape.c,
                             .out_h = shape.out_h(),
                             .out_w = shape.out_w(),
                             .k = shape.k,
                             .offset = shape.pad};
    if (shape.stride == 1 && tiles_of(shape) <= kFewTiles)
        correlate<Stride1Small, transform_filter_forward<Stride1Small>>(
            problem, x, {filter, layouts, FilterLayout::winograd_small_forward}, epilogue, y);
    else if (shape.stride == 1)
        correlate<Stride1, transform_filter_forward<Stride1>>(
            problem, x, {filter, layouts, FilterLayout::winograd_forward}, epilogue, y);
    else
        correlate<Stride2, transform_filter_forward<Stride2>>(
            problem, x, {filter, layouts, FilterLayout::winograd_strided_forward}, epilogue, y);
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       FilterLayouts* layouts, float* dx) {
    Problem problem = {.n = shape.n,
                       .h = shape.out_h(),
                       .w = shape.out_w(),
                       .c = shape.k,
                       .out_h = shape.h,
                       .out_w = shape.w,
                       .k = shape.c,
                       .offset = 2 - shape.pad};
    if (shape.stride == 1)
        return correlate<Stride1, transform_filter_dgrad<Stride1>>(
            problem, dy, {filter, layouts, FilterLayout::winograd_dgrad}, {}, dx);
    problem.offset = 0;
    correlate<Stride2Dgrad, transform_filter_dgrad<Stride2Dgrad>>(
        problem, dy, {filter, layouts, FilterLayout::winograd_strided_dgrad}, {}, dx);
}

}  // namespace cnpd::kernels::winograd
