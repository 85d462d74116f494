// Convolutions on the CPU with a filter that does not change, as in a frozen network.
#pragma once

#include "kernels/convolution/convolution.h"
#include "kernels/convolution/filter_layouts.h"

namespace cnpd::kernels::cpu {

// As convolution_forward() and convolution_dgrad() of convolution.h, with the same bits. `layouts`
// keeps what is computed from the filter alone.
void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         FilterLayouts* layouts, const ConvolutionEpilogue<float>& epilogue,
                         float* y);
void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       FilterLayouts* layouts, float* dx);

}  // namespace cnpd::kernels::cpu
