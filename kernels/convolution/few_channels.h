// The input gradient of a convolution with few input channels: a network's first layer, through
// which an attack reaches the image. Private to kernels/convolution.
#pragma once

#include "kernels/convolution/convolution.h"

namespace cnpd::kernels::few_channels {

// Stride 1, up to 5 channels, and a filter row of at most 16 elements.
bool applies(const ConvolutionShape& shape);

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx);

}  // namespace cnpd::kernels::few_channels
