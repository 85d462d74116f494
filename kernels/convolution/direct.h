// Direct convolution for small problems, such as a single image: for late layers, whose filter is
// large compared with the image, and for shapes without a Winograd scheme. Explained in
// docs/kernels-convolution.md.
#pragma once

#include "kernels/convolution/convolution.h"
#include "kernels/convolution/filter_layouts.h"

namespace cnpd::kernels::direct {

// Whether this is likely to be the fastest algorithm of the forward pass. `tiles` is the number of
// 4x4 tiles if Winograd supports the shape, else 0.
bool applies(const ConvolutionShape& shape, std::int64_t winograd_tiles);

// As in convolution.h. `layouts` may be null.
void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         FilterLayouts* layouts, const ConvolutionEpilogue<float>& epilogue,
                         float* y);

}  // namespace cnpd::kernels::direct
