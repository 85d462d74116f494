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

// Adds (or, the first time, writes) what `count` transformed tiles contribute.
template <class Scheme>
void accumulate(const Panels& inputs, const Panels& gradients, std::int64_t count, bool first,
                const Sums& sums) {
    bool written[kSlots<Scheme>] = {};
    for (int p = 0; p < kPositions<Scheme>; ++p) {
        const int to = slot<Scheme>(p);
        const bool add = !first || written[to];
        written[to] = true;
        for (std::int64_t k = 0; k < sums.k_panels; ++k)
            for (std::int64_t c = 0; c < sums.c_panels; ++c)
                multiply_block<Left::columns>(kPanel, gradients.panel(p, k), 0, inputs.panel(p, c),
                                              count, add, sums.block(to, k, c));
    }
}

// dfilter = G^T (sum over threads) G for one panel of output and one of input channels.
template <class Scheme>
void transform_sums(const ConvolutionShape& shape, const Sums& sums, int threads,
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
                    for (int thread = 1; thread < threads; ++thread)
                        sum += simd::load(from + p * sums.slot_stride() +
                                          thread * kSlots<Scheme> * sums.slot_stride());
                    return sum;
                },
                [&](int tap, Vector g) { simd::store_first(to + tap * shape.c, g, shape.c - c); });
        }
}

template <class Scheme>
void wgrad(const ConvolutionShape& shape, const float* x, const float* dy, float* dfilter) {
    const Tiles tiles(shape.n, shape.out_h(), shape.out_w(), Scheme::kOutput);
    constexpr std::int64_t kMatrices = kPositions<Scheme>, kBytes = 600 << 10, kFewest = 32;
    const std::int64_t tile_bytes = kMatrices * static_cast<std::int64_t>(sizeof(float)) *
                                    (panels(shape.c) + panels(shape.k)) * kPanel;
    const std::int64_t fitting = std::max(kBytes / tile_bytes, kFewest);
    const int threads = static_cast<int>(std::min<std::int64_t>(
        omp_in_parallel() ? 1 : thread_count(), divide_up(tiles.count, fitting)));
    const std::int64_t share = divide_up(tiles.count, threads);
    const std::int64_t block = divide_up(share, divide_up(share, fitting));

    Sums sums = {nullptr, panels(shape.k), panels(shape.c)};
    const std::int64_t sums_size = kSlots<Scheme> * sums.slot_stride();
    const std::int64_t inputs_size = kMatrices * Panels::stride(block, shape.c);
    const std::int64_t thread_size = inputs_size + kMatrices * Panels::stride(block, shape.k);
    const std::int64_t zeros_size = panels(std::max(shape.c, shape.k)) * kPanel;
    const Workspace workspace(static_cast<std::int64_t>(sizeof(float)) *
                              (zeros_size + threads * (sums_size + thread_size)));
    float* zeros = workspace.floats();
    std::fill_n(zeros, zeros_size, 0.f);
    sums.data = zeros + zeros_size;
    float* blocks = sums.data + threads * sums_size;
    const Images inputs = {x, shape.h, shape.w, shape.c, Scheme::kStep, shape.pad, zeros};
    const Images gradients = {dy, shape.out_h(), shape.out_w(), shape.k, Scheme::kOutput, 0, zeros};

#pragma omp parallel num_threads(threads)
    {
        // One part for each thread, whatever the size of the team.
#pragma omp for schedule(static, 1)
        for (int part = 0; part < threads; ++part) {
            float* mine = blocks + part * thread_size;
            const Panels v(mine, block, shape.c), w(mine + inputs_size, block, shape.k);
            const Sums my_sums = {sums.data + part * sums_size, sums.k_panels, sums.c_panels};
            const std::int64_t begin = tiles.count * part / threads;
            const std::int64_t end = tiles.count * (part + 1) / threads;
            for (std::int64_t first = begin; first < end; first += block) {
                const std::int64_t count = std::min(block, end - first);
                transform_tiles<Scheme::kWindow, Scheme::kTransformed, Scheme::input>(
                    inputs, tiles, first, count, v);
                transform_tiles<Scheme::kOutput, Scheme::kTransformed, Scheme::output_adjoint>(
                    gradients, tiles, first, count, w);
                accumulate<Scheme>(v, w, count, first == begin, my_sums);
            }
        }
#pragma omp for schedule(static)
        for (std::int64_t pair = 0; pair < sums.k_panels * sums.c_panels; ++pair)
            transform_sums<Scheme>(shape, sums, threads, pair / sums.c_panels, pair % sums.c_panels,
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
