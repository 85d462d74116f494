#include <algorithm>

#include "kernels/common/parallel.h"
#include "kernels/pooling/adaptive.h"

namespace cnpd::kernels::cpu {
namespace {

// y += factor x, over C channels
void add_scaled(const float* __restrict x, std::int64_t channels, float factor,
                float* __restrict y) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) y[c] += factor * x[c];
}

}  // namespace

void adaptive_average_pool_forward(const AdaptivePoolingShape& shape, const float* x, float* y) {
    const AdaptivePoolingShape s = shape;
    parallel_for(s.n * s.out_h, 1, [=](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row)
            for (std::int64_t ow = 0; ow < s.out_w; ++ow) {
                const Overlap hs = overlap(row % s.out_h, s.out_h, s.h);
                const Overlap ws = overlap(ow, s.out_w, s.w);
                const float factor = 1.0f / static_cast<float>(hs.size() * ws.size());
                float* out = y + (row * s.out_w + ow) * s.c;
                std::fill_n(out, s.c, 0.0f);
                for (std::int64_t h = hs.first; h < hs.end; ++h)
                    for (std::int64_t w = ws.first; w < ws.end; ++w)
                        add_scaled(x + ((row / s.out_h * s.h + h) * s.w + w) * s.c, s.c, factor,
                                   out);
            }
    });
}

// Each input gathers from the windows that contain it, so that one thread writes each element of
// dx.
void adaptive_average_pool_backward(const AdaptivePoolingShape& shape, const float* dy, float* dx) {
    const AdaptivePoolingShape s = shape;
    parallel_for(s.n * s.h, 1, [=](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row)
            for (std::int64_t w = 0; w < s.w; ++w) {
                const Overlap ohs = overlap(row % s.h, s.h, s.out_h);
                const Overlap ows = overlap(w, s.w, s.out_w);
                float* in = dx + (row * s.w + w) * s.c;
                std::fill_n(in, s.c, 0.0f);
                for (std::int64_t oh = ohs.first; oh < ohs.end; ++oh)
                    for (std::int64_t ow = ows.first; ow < ows.end; ++ow) {
                        const std::int64_t area =
                            overlap(oh, s.out_h, s.h).size() * overlap(ow, s.out_w, s.w).size();
                        add_scaled(dy + ((row / s.h * s.out_h + oh) * s.out_w + ow) * s.c, s.c,
                                   1.0f / static_cast<float>(area), in);
                    }
            }
    });
}

}  // namespace cnpd::kernels::cpu
