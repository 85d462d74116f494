// Version 1: one thread for each output, with the sum over taps and channels as in the definition.
// Neighbouring threads have neighbouring filters, R S C floats apart: a load of a warp touches 32
// sectors for 128 bytes, and one sector of the input, the same for all. As in the polarizer's
// version 1 that is 8 clocks of the L1 cache for 32 multiply-adds. Prediction: 3 % of float32's
// peak.
#include "kernels/common/grid.h"
#include "kernels/convolution/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

// The output at row h and column w of image n for a filter.
__device__ float output_of(const ConvolutionShape& s, const float* x, const float* filter,
                           std::int64_t n, std::int64_t h, std::int64_t w) {
    float sum = 0;
    for (std::int64_t r = 0; r < s.r; ++r)
        for (std::int64_t t = 0; t < s.s; ++t) {
            const std::int64_t row = h * s.stride - s.pad + r, column = w * s.stride - s.pad + t;
            if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
            const float* const pixel = x + ((n * s.h + row) * s.w + column) * s.c;
            const float* const tap = filter + (r * s.s + t) * s.c;
            for (std::int64_t c = 0; c < s.c; ++c) sum += pixel[c] * tap[c];
        }
    return sum;
}

__global__ void one_output(ConvolutionShape s, const float* x, const float* filter, float* y,
                           std::int64_t count) {
    const std::int64_t height = s.out_h(), width = s.out_w();
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        const std::int64_t k = i % s.k, pixel = i / s.k;
        y[i] = output_of(s, x, filter + k * s.r * s.s * s.c, pixel / width / height,
                         pixel / width % height, pixel % width);
    }
}

}  // namespace

void convolution_forward_v1(const ConvolutionShape& shape, const float* x, const float* filter,
                            float* y) {
    launch_elements("convolution_forward_v1", shape.n * shape.out_h() * shape.out_w() * shape.k,
                    one_output, shape, x, filter, y);
}

}  // namespace cnpd::kernels::cuda
