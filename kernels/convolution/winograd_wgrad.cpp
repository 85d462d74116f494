// The gradient of the filter. Forward is bilinear in the transformed input V and filter U, so
//     dfilter = G^T [ sum over tiles of V * (A dy A^T) ] G:
// both tensors are transformed, 36 matrices [K,C] are summed over the tiles, and transformed back.
#include "kernels/common/parallel.h"
#include "kernels/common/workspace.h"
#include "kernels/convolution/winograd.h"
#include "kernels/convolution/winograd_strided_transforms.h"
#include "kernels/convolution/winograd_tiles.h"

namespace cnpd::kernels::winograd {
namespace {

constexpr std::int64_t kBlock = kPanel * kPanel;  // floats of a 16x16 block of sums

// Sums [slot][K panel][C panel][16 k][16 c].
struct Sums {
    float* data;
    std::int64_t k_panels, c_panels;

    std::int64_t slot_stride() const { return k_panels * c_panels * kBlock + kPanel; }
    float* block(std::int64_t slot, std::int64_t k_panel, std::int64_t c_panel) const {
        return data + slot * slot_stride() + (k_panel * c_panels + c_panel) * kBlock;
    }
};

// Several positions may add to one slot. So many tiles of one of them are added before those of the
// next, whatever the size of the block: the order of the sum must not depend on it.
constexpr std::int64_t kTilesOfPosition = 32;

// Adds (or, the first time, writes) the contribution of `count` transformed tiles to one slot and
// panel of output channels.
template <class Scheme>
void accumulate(const Panels& inputs, const Panels& gradients, std::int64_t count, bool first,
                int to, std::int64_t k, const Sums& sums) {
    constexpr bool kOnePosition = kSlots<Scheme> == kPositions<Scheme>;
    const std::int64_t step = kOnePosition ? count : kTilesOfPosition;
    bool add = !first;
    for (std::int64_t row = 0; row < count; row += step)
        for (int p = 0; p < kPositions<Scheme>; ++p) {
            if (slot<Scheme>(p) != to) continue;
            for (std::int64_t c = 0; c < sums.c_panels; ++c)
                multiply_block<Left::columns>(kPanel, gradients.panel(p, k) + row * kPanel, 0,
                                              inputs.panel(p, c) + row * kPanel,
                                              std::min(step, count - row), add,
                                              sums.block(to, k, c));
            add = true;
        }
}

// dfilter = G^T (the sum of `copies` Sums) G for one panel of output and one of input channels.
template <class Scheme>
void transform_sums(const ConvolutionShape& shape, const Sums& sums, int copies,
                    std::int64_t k_panel, std::int64_t c_panel, float* dfilter) {
    const std::int64_t k_first = k_panel * kPanel;
    const std::int64_t k_count = std::min<std::int64_t>(kPanel, shape.k - k_first);
    for (std::int64_t k = 0; k < k_count; ++k)
        for (int v = 0; v < kPanel; v += simd::kWidth) {
            const std::int64_t c = c_panel * kPanel + v;
            if (c >= shape.c) break;
            const float* from = sums.block(0, k_panel, c_panel) + k * kPanel + v;
            float* to = dfilter + (k_first + k) * 9 * shape.c + c;
            both_dimensions<Scheme::kDistinct, 3, Scheme::filter_adjoint>(
                [&](int p) {
                    Vector sum = simd::load(from + p * sums.slot_stride());
                    for (int copy = 1; copy < copies; ++copy)
                        sum += simd::load(from + p * sums.slot_stride() +
                                          copy * kSlots<Scheme> * sums.slot_stride());
                    return sum;
                },
                [&](int tap, Vector g) { simd::store_first(to + tap * shape.c, g, shape.c - c); });
        }
}

// The division of the tiles, by sizes alone: into parts with separate sums, which are added up in
// order. Within a part every sum runs over the tiles in order, so that the bits depend neither on
// the blocks of tiles nor on the threads. Small sums have many parts, large ones only one.
//
// Each thread computes whole parts, in blocks that stay in its L2 cache, as long as there are parts
// for all threads. The remaining parts are computed by all threads together, one after the other:
// all threads transform a block, then each sums it for its share of slots and panels.
struct Plan {
    std::int64_t parts;
    int threads;
    std::int64_t own_block, common_block;  // tiles
};

template <class Scheme>
Plan make_plan(const ConvolutionShape& shape, std::int64_t tiles, std::int64_t sums_size) {
    constexpr std::int64_t kFloat = sizeof(float), kLargest = 1 << 20, kLargestTotal = 10 << 20;
    constexpr std::int64_t kOwnBlock = 600 << 10, kCommonBlock = 10 << 20, kFewest = 32;
    const int threads = in_team() ? 1 : thread_count();
    const std::int64_t tile_bytes =
        kPositions<Scheme> * kFloat * (panels(shape.c) + panels(shape.k)) * kPanel;
    const std::int64_t sums_bytes = sums_size * kFloat;
    const std::int64_t fitting = std::max(kOwnBlock / tile_bytes, kFewest);
    const std::int64_t most =
        sums_bytes > kLargest ? 1 : std::min<std::int64_t>(kLargestTotal / sums_bytes, kMostParts);
    // A part's sums are written and read again once, which takes as long as half a block.
    constexpr std::int64_t kBlocksOfPart = 4;
    const std::int64_t parts = std::clamp<std::int64_t>(tiles / (kBlocksOfPart * fitting), 1, most);
    const std::int64_t share = divide_up(tiles, parts);
    const std::int64_t common = std::max(kCommonBlock / tile_bytes, kFewest);
    const auto block = [&](std::int64_t most_tiles) {
        const std::int64_t even = divide_up(share, divide_up(share, most_tiles));
        return divide_up(even, kTilesOfPosition) * kTilesOfPosition;
    };
    return {.parts = parts,
            .threads = threads,
            .own_block = block(fitting),
            .common_block = block(common)};
}

// One call's tensors and workspace.
template <class Scheme>
struct Wgrad {
    Tiles tiles;
    Images x, dy;
    Plan plan;
    Sums sums;               // the first part's
    std::int64_t sums_size;  // from one part's sums to the next
    float* blocks;           // transformed tiles

    static std::int64_t inputs_size(const ConvolutionShape& shape, std::int64_t block) {
        return kPositions<Scheme> * Panels::stride(block, shape.c);
    }
    static std::int64_t block_size(const ConvolutionShape& shape, std::int64_t block) {
        return inputs_size(shape, block) + kPositions<Scheme> * Panels::stride(block, shape.k);
    }
    // Shared by all threads, for one part at a time.
    static std::int64_t blocks_size(const ConvolutionShape& shape, const Plan& plan) {
        const std::int64_t own =
            plan.parts < plan.threads ? 0 : plan.threads * block_size(shape, plan.own_block);
        const std::int64_t common =
            plan.parts % plan.threads == 0 ? 0 : block_size(shape, plan.common_block);
        return std::max(own, common);
    }

    // Transforms tiles [first, first + count) of x and dy. Not inlined: the compiler could contract
    // the same expression to different multiply-adds for own and for common blocks.
    [[gnu::noinline]] void transform(std::int64_t first, std::int64_t count, const Panels& inputs,
                                     const Panels& gradients) const {
        transform_tiles<Scheme::kWindow, Scheme::kTransformed, Scheme::input>(x, tiles, first,
                                                                              count, inputs);
        transform_tiles<Scheme::kOutput, Scheme::kTransformed, Scheme::output_adjoint>(
            dy, tiles, first, count, gradients);
    }
    std::int64_t begin(std::int64_t part) const { return tiles.count * part / plan.parts; }
    Sums sums_of(std::int64_t part) const {
        return {sums.data + part * sums_size, sums.k_panels, sums.c_panels};
    }

    void add_up_alone(std::int64_t part, const Panels& inputs, const Panels& gradients) const {
        const std::int64_t end = begin(part + 1);
        for (std::int64_t first = begin(part); first < end; first += plan.own_block) {
            const std::int64_t count = std::min(plan.own_block, end - first);
            transform(first, count, inputs, gradients);
            for (int to = 0; to < kSlots<Scheme>; ++to)
                for (std::int64_t k = 0; k < sums.k_panels; ++k)
                    accumulate<Scheme>(inputs, gradients, count, first == begin(part), to, k,
                                       sums_of(part));
        }
    }
    void add_up_together(std::int64_t part, const Panels& inputs, const Panels& gradients) const {
        const std::int64_t end = begin(part + 1);
        for (std::int64_t first = begin(part); first < end; first += plan.common_block) {
            const std::int64_t count = std::min(plan.common_block, end - first);
            run_pieces(divide_up(count, kPanel), plan.threads, [&](std::int64_t piece, int) {
                const std::int64_t row = piece * kPanel;
                transform(first + row, std::min<std::int64_t>(kPanel, count - row),
                          inputs.from_row(row), gradients.from_row(row));
            });
            run_pieces(kSlots<Scheme> * sums.k_panels, plan.threads, [&](std::int64_t unit, int) {
                accumulate<Scheme>(inputs, gradients, count, first == begin(part),
                                   static_cast<int>(unit / sums.k_panels), unit % sums.k_panels,
                                   sums_of(part));
            });
        }
    }
    void add_up(const ConvolutionShape& shape) const {
        const std::int64_t alone = plan.parts / plan.threads * plan.threads;
        run_pieces(alone, plan.threads, [&](std::int64_t part, int thread) {
            float* const mine = blocks + thread * block_size(shape, plan.own_block);
            add_up_alone(part, {mine, plan.own_block, x.c},
                         {mine + inputs_size(shape, plan.own_block), plan.own_block, dy.c});
        });
        const Panels inputs(blocks, plan.common_block, x.c);
        const Panels gradients(blocks + inputs_size(shape, plan.common_block), plan.common_block,
                               dy.c);
        for (std::int64_t part = alone; part < plan.parts; ++part)
            add_up_together(part, inputs, gradients);
    }
};

template <class Scheme>
void wgrad(const ConvolutionShape& shape, const float* x, const float* dy, float* dfilter) {
    const Tiles tiles(shape.n, shape.out_h(), shape.out_w(), Scheme::kOutput);
    Sums sums = {nullptr, panels(shape.k), panels(shape.c)};
    const std::int64_t sums_size = kSlots<Scheme> * sums.slot_stride();
    const Plan plan = make_plan<Scheme>(shape, tiles.count, sums_size);
    const std::int64_t zeros_size = panels(std::max(shape.c, shape.k)) * kPanel;
    const Workspace workspace(
        static_cast<std::int64_t>(sizeof(float)) *
        (zeros_size + plan.parts * sums_size + Wgrad<Scheme>::blocks_size(shape, plan)));
    float* zeros = workspace.floats();
    std::fill_n(zeros, zeros_size, 0.f);
    sums.data = zeros + zeros_size;

    const Wgrad<Scheme> call = {
        .tiles = tiles,
        .x = {x, shape.h, shape.w, shape.c, Scheme::kStep, shape.pad, zeros},
        .dy = {dy, shape.out_h(), shape.out_w(), shape.k, Scheme::kOutput, 0, zeros},
        .plan = plan,
        .sums = sums,
        .sums_size = sums_size,
        .blocks = sums.data + plan.parts * sums_size};
    call.add_up(shape);
    run_pieces(sums.k_panels * sums.c_panels, plan.threads, [&](std::int64_t pair, int) {
        transform_sums<Scheme>(shape, sums, static_cast<int>(plan.parts), pair / sums.c_panels,
                               pair % sums.c_panels, dfilter);
    });
}

}  // namespace

void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter) {
    if (shape.stride == 1)
        wgrad<Stride1>(shape, x, dy, dfilter);
    else
        wgrad<Stride2>(shape, x, dy, dfilter);
}

}  // namespace cnpd::kernels::winograd
