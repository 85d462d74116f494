// Every element of the smaller side is read once or a few times, through the cache, and every
// element of the output written once: 4 bytes each. Neighbouring threads have neighbouring
// channels, so that a warp's loads and stores are contiguous.
#include "kernels/pooling/adaptive.h"

#include "kernels/common/cuda.h"
#include "kernels/common/grid.h"

namespace cnpd::kernels::cuda {
namespace {

__global__ void adaptive_forward(AdaptivePoolingShape s, const float* x, float* y,
                                 std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        const std::int64_t c = i % s.c, column = i / s.c % s.out_w, row = i / s.c / s.out_w;
        const std::int64_t image = row / s.out_h;
        const Overlap hs = overlap(row % s.out_h, s.out_h, s.h);
        const Overlap ws = overlap(column, s.out_w, s.w);
        float sum = 0;
        for (std::int64_t h = hs.first; h < hs.end; ++h)
            for (std::int64_t w = ws.first; w < ws.end; ++w)
                sum += x[((image * s.h + h) * s.w + w) * s.c + c];
        y[i] = sum / static_cast<float>(hs.size() * ws.size());
    }
}

// Gathers from the windows that contain this element. Without atomics, so results are reproducible.
__global__ void adaptive_backward(AdaptivePoolingShape s, const float* dy, float* dx,
                                  std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        const std::int64_t c = i % s.c, column = i / s.c % s.w, row = i / s.c / s.w;
        const std::int64_t image = row / s.h;
        const Overlap hs = overlap(row % s.h, s.h, s.out_h);
        const Overlap ws = overlap(column, s.w, s.out_w);
        float sum = 0;
        for (std::int64_t h = hs.first; h < hs.end; ++h)
            for (std::int64_t w = ws.first; w < ws.end; ++w) {
                const std::int64_t area =
                    overlap(h, s.out_h, s.h).size() * overlap(w, s.out_w, s.w).size();
                sum +=
                    dy[((image * s.out_h + h) * s.out_w + w) * s.c + c] / static_cast<float>(area);
            }
        dx[i] = sum;
    }
}

}  // namespace

void adaptive_average_pool_forward(const AdaptivePoolingShape& shape, const float* x, float* y) {
    launch_elements("adaptive_average_pool_forward", shape.n * shape.out_h * shape.out_w * shape.c,
                    adaptive_forward, shape, x, y);
}

void adaptive_average_pool_backward(const AdaptivePoolingShape& shape, const float* dy, float* dx) {
    launch_elements("adaptive_average_pool_backward", shape.n * shape.h * shape.w * shape.c,
                    adaptive_backward, shape, dy, dx);
}

}  // namespace cnpd::kernels::cuda
