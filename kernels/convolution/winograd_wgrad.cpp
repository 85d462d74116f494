// The gradient of the filter. Forward is bilinear in the transformed input V and filter U, so
//     dfilter = G^T [ sum over tiles of V * (A dy A^T) ] G:
// both tensors are transformed, 36 matrices [K,C] are summed over the tiles, and transformed back.
#include <omp.h>

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

// Adds (or, the first time, writes) what `count` transformed tiles contribute to one slot and
// panel of output channels.
template <class Scheme>
void accumulate(const Panels& inputs, const Panels& gradients, std::int64_t count, bool first,
                int to, std::int64_t k, const Sums& sums) {
    bool add = !first;
    for (int p = 0; p < kPositions<Scheme>; ++p) {
        if (slot<Scheme>(p) != to) continue;
        for (std::int64_t c = 0; c < sums.c_panels; ++c)
            multiply_block<Left::columns>(kPanel, gradients.panel(p, k), 0, inputs.panel(p, c),
                                          count, add, sums.block(to, k, c));
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

// How the tiles are divided. Small sums: every thread has its own and takes its share of the
// tiles, in blocks that stay in its L2 cache; one barrier, then the copies are added. Large sums
// exist once: all threads transform a block together, and then each adds it up for its share of
// slots and panels.
struct Plan {
    bool private_sums;
    int threads;
    std::int64_t block;  // tiles
};

template <class Scheme>
Plan make_plan(const ConvolutionShape& shape, std::int64_t tiles, std::int64_t sums_size) {
    constexpr std::int64_t kFloat = sizeof(float), kLargest = 3 << 20, kLargestTotal = 64 << 20;
    constexpr std::int64_t kPrivateBlock = 600 << 10, kSharedBlock = 10 << 20, kFewest = 32;
    const int threads = omp_in_parallel() ? 1 : thread_count();
    const std::int64_t tile_bytes =
        kPositions<Scheme> * kFloat * (panels(shape.c) + panels(shape.k)) * kPanel;
    const std::int64_t sums_bytes = sums_size * kFloat;
    if (sums_bytes > kLargest || threads * sums_bytes > kLargestTotal) {
        const std::int64_t fitting = std::max(kSharedBlock / tile_bytes, kFewest);
        return {false, threads, divide_up(tiles, divide_up(tiles, fitting))};
    }
    const std::int64_t fitting = std::max(kPrivateBlock / tile_bytes, kFewest);
    const std::int64_t parts = std::min<std::int64_t>(threads, divide_up(tiles, fitting));
    const std::int64_t share = divide_up(tiles, parts);
    return {true, static_cast<int>(parts), divide_up(share, divide_up(share, fitting))};
}

// One call's tensors and workspace.
template <class Scheme>
struct Wgrad {
    Tiles tiles;
    Images x, dy;
    Plan plan;
    Sums sums;               // the first copy
    std::int64_t sums_size;  // from one to the next
    float* blocks;
    std::int64_t inputs_size, block_size;

    // Transforms tiles [first, first + count) of x and dy.
    void transform(std::int64_t first, std::int64_t count, const Panels& inputs,
                   const Panels& gradients) const {
        transform_tiles<Scheme::kWindow, Scheme::kTransformed, Scheme::input>(x, tiles, first,
                                                                              count, inputs);
        transform_tiles<Scheme::kOutput, Scheme::kTransformed, Scheme::output_adjoint>(
            dy, tiles, first, count, gradients);
    }
    Panels inputs(std::int64_t part) const {
        return Panels(blocks + part * block_size, plan.block, x.c);
    }
    Panels gradients(std::int64_t part) const {
        return Panels(blocks + part * block_size + inputs_size, plan.block, dy.c);
    }

    // Called by every thread of a team.
    void add_up_privately() const {
        // One part for each thread, whatever the size of the team turns out to be.
#pragma omp for schedule(static, 1)
        for (int part = 0; part < plan.threads; ++part) {
            const Sums own = {sums.data + part * sums_size, sums.k_panels, sums.c_panels};
            const std::int64_t begin = tiles.count * part / plan.threads;
            const std::int64_t end = tiles.count * (part + 1) / plan.threads;
            for (std::int64_t first = begin; first < end; first += plan.block) {
                const std::int64_t count = std::min(plan.block, end - first);
                transform(first, count, inputs(part), gradients(part));
                for (int to = 0; to < kSlots<Scheme>; ++to)
                    for (std::int64_t k = 0; k < sums.k_panels; ++k)
                        accumulate<Scheme>(inputs(part), gradients(part), count, first == begin, to,
                                           k, own);
            }
        }
    }
    void add_up_together() const {
        for (std::int64_t first = 0; first < tiles.count; first += plan.block) {
            const std::int64_t count = std::min(plan.block, tiles.count - first);
#pragma omp for schedule(static)
            for (std::int64_t row = 0; row < count; row += kPanel)
                transform(first + row, std::min<std::int64_t>(kPanel, count - row),
                          inputs(0).from_row(row), gradients(0).from_row(row));
#pragma omp for schedule(static)
            for (std::int64_t unit = 0; unit < kSlots<Scheme> * sums.k_panels; ++unit)
                accumulate<Scheme>(inputs(0), gradients(0), count, first == 0,
                                   static_cast<int>(unit / sums.k_panels), unit % sums.k_panels,
                                   sums);
        }
    }
};

template <class Scheme>
void wgrad(const ConvolutionShape& shape, const float* x, const float* dy, float* dfilter) {
    const Tiles tiles(shape.n, shape.out_h(), shape.out_w(), Scheme::kOutput);
    Sums sums = {nullptr, panels(shape.k), panels(shape.c)};
    const std::int64_t sums_size = kSlots<Scheme> * sums.slot_stride();
    const Plan plan = make_plan<Scheme>(shape, tiles.count, sums_size);
    const int copies = plan.private_sums ? plan.threads : 1;

    const std::int64_t inputs_size = kPositions<Scheme> * Panels::stride(plan.block, shape.c);
    const std::int64_t block_size =
        inputs_size + kPositions<Scheme> * Panels::stride(plan.block, shape.k);
    const std::int64_t zeros_size = panels(std::max(shape.c, shape.k)) * kPanel;
    const Workspace workspace(static_cast<std::int64_t>(sizeof(float)) *
                              (zeros_size + copies * (sums_size + block_size)));
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
        .blocks = sums.data + copies * sums_size,
        .inputs_size = inputs_size,
        .block_size = block_size};
#pragma omp parallel num_threads(plan.threads)
    {
        if (call.plan.private_sums)
            call.add_up_privately();
        else
            call.add_up_together();
#pragma omp for schedule(static)
        for (std::int64_t pair = 0; pair < sums.k_panels * sums.c_panels; ++pair)
            transform_sums<Scheme>(shape, sums, copies, pair / sums.c_panels, pair % sums.c_panels,
                                   dfilter);
    }
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
