// A simple version of the convolution's forward pass, for the ladder (docs/ladder.md), with the
// contract of kernels/convolution/convolution.h without an epilogue.
#pragma once

#include "kernels/convolution/convolution.h"

namespace cnpd::kernels::cuda {

// A thread an output.
void convolution_forward_v1(const ConvolutionShape& shape, const float* x, const float* filter,
                            float* y);

}  // namespace cnpd::kernels::cuda
