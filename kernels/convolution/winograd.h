// Winograd convolution for 3x3 filters at stride 1: F(4x4, 3x3), with four times fewer
// multiplications than direct convolution. Explained in docs/kernels-convolution.md.
#pragma once

#include "kernels/convolution/convolution.h"
#include "kernels/convolution/filter_layouts.h"

namespace cnpd::kernels::winograd {

// Whether the functions below support this shape and are likely to be the fastest algorithm.
bool applies(const ConvolutionShape& shape);

// The number of tiles of 4x4 outputs.
std::int64_t tiles_of(const ConvolutionShape& shape);

// The three passes of convolution.h, for shapes that `applies` accepts. `layouts` keeps the
// transformed filter; null: it is transformed in this call.
void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         FilterLayouts* layouts, const ConvolutionEpilogue<float>& epilogue,
                         float* y);
void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       FilterLayouts* layouts, float* dx);
void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter);

}  // namespace cnpd::kernels::winograd
