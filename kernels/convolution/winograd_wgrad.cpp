// The gradient of the filter. Forward is bilinear in the transformed input V and filter U, so
//     dfilter = G^T [ sum over tiles of V * (A dy A^T) ] G:
// both tensors are transformed, 36 matrices [K,C] are summed over the tiles, and transformed back.
#include <omp.h>

#include "kernels/common/parallel.h"
#include "kernels/common/workspace.h"
#include "kernels/convolution/winograd.h"
#include "kernels/convolution/winograd_tiles.h"

namespace cnpd::kernels::winograd {
namespace {

constexpr std::int64_t kBlock = kPanel * kPanel;  // floats of a 16x16 block of sums

// Sums [36][K panel][C panel][16 k][16 c].
struct Sums {
    float* data;
    std::int64_t k_panels, c_panels;

    std::int64_t position_stride() const { return k_panels * c_panels * kBlock + kPanel; }
    std::int64_t size() const { return kPositions * position_stride(); }
    float* block(std::int64_t position, std::int64_t k_panel, std::int64_t c_panel) const {
        return data + position * position_stride() + (k_panel * c_panels + c_panel) * kBlock;
    }
};

// Adds (or, the first time, writes) what `count` transformed tiles contribute.
void accumulate(const Panels& inputs, const Panels& gradients, std::int64_t count, bool first,
                const Sums& sums) {
    for (int p = 0; p < kPositions; ++p)
        for (std::int64_t k = 0; k < sums.k_panels; ++k)
            for (std::int64_t c = 0; c < sums.c_panels; ++c)
                multiply_block<Left::columns>(kPanel, gradients.panel(p, k), 0, inputs.panel(p, c),
                                              count, !first, sums.block(p, k, c));
}

// dfilter = G^T (sum over threads) G for one panel of output and one of input channels.
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
            both_dimensions<kInput, 3, filter_adjoint_1d>(
                [&](int p) {
                    Vector sum = simd::load(from + p * sums.position_stride());
                    for (int thread = 1; thread < threads; ++thread)
                        sum += simd::load(from + p * sums.position_stride() + thread * sums.size());
                    return sum;
                },
                [&](int tap, Vector g) { simd::store_first(to + tap * shape.c, g, shape.c - c); });
        }
}

}  // namespace

void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter) {
    const Tiles tiles(shape.n, shape.out_h(), shape.out_w());
    constexpr std::int64_t kBytes = 600 << 10;
    const std::int64_t fitting = std::max<std::int64_t>(
        kBytes / (kPositions * 4 * (panels(shape.c) + panels(shape.k)) * kPanel), 32);
    const int threads = static_cast<int>(std::min<std::int64_t>(
        omp_in_parallel() ? 1 : thread_count(), divide_up(tiles.count, fitting)));
    const std::int64_t share = divide_up(tiles.count, threads);
    const std::int64_t block = divide_up(share, divide_up(share, fitting));

    const Sums first_sums = {nullptr, panels(shape.k), panels(shape.c)};
    const std::int64_t inputs_size = Panels::size(block, shape.c);
    const std::int64_t thread_size = inputs_size + Panels::size(block, shape.k);
    const std::int64_t zeros_size = panels(std::max(shape.c, shape.k)) * kPanel;
    const Workspace workspace(static_cast<std::int64_t>(sizeof(float)) *
                              (zeros_size + threads * (first_sums.size() + thread_size)));
    float* zeros = workspace.floats();
    std::fill_n(zeros, zeros_size, 0.f);
    float* all_sums = zeros + zeros_size;
    float* blocks = all_sums + threads * first_sums.size();
    const Images inputs = {x, shape.h, shape.w, shape.c, shape.pad, zeros};
    const Images gradients = {dy, shape.out_h(), shape.out_w(), shape.k, 0, zeros};

#pragma omp parallel num_threads(threads)
    {
        // One part for each thread, whatever the size of the team.
#pragma omp for schedule(static, 1)
        for (int part = 0; part < threads; ++part) {
            float* mine = blocks + part * thread_size;
            const Panels v(mine, block, shape.c), w(mine + inputs_size, block, shape.k);
            const Sums sums = {all_sums + part * first_sums.size(), first_sums.k_panels,
                               first_sums.c_panels};
            const std::int64_t begin = tiles.count * part / threads;
            const std::int64_t end = tiles.count * (part + 1) / threads;
            for (std::int64_t first = begin; first < end; first += block) {
                const std::int64_t count = std::min(block, end - first);
                transform_tiles<kInput, input_1d>(inputs, tiles, first, count, v);
                transform_tiles<kOutput, output_adjoint_1d>(gradients, tiles, first, count, w);
                accumulate(v, w, count, first == begin, sums);
            }
        }
        const Sums sums = {all_sums, first_sums.k_panels, first_sums.c_panels};
#pragma omp for schedule(static)
        for (std::int64_t pair = 0; pair < sums.k_panels * sums.c_panels; ++pair)
            transform_sums(shape, sums, threads, pair / sums.c_panels, pair % sums.c_panels,
                           dfilter);
    }
}

}  // namespace cnpd::kernels::winograd
