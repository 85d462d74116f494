// Convolutions through cuDNN, without its headers.
#pragma once

#include "kernels/convolution/convolution.h"

namespace cnpd::kernels::cudnn {

// As in convolution.h, but for the epilogue, on the current stream. Algorithms are chosen by
// measurement, the first time that a shape is seen, among those that repeat bit for bit; a shape
// must have been seen before a graph is captured with it. Return false, having done nothing, where
// cuDNN has no such algorithm. Throw CudaError.
bool forward(const ConvolutionShape& shape, const float* x, const float* filter, float* y);
bool dgrad(const ConvolutionShape& shape, const float* dy, const float* filter, float* dx);
bool wgrad(const ConvolutionShape& shape, const float* x, const float* dy, float* dfilter);

}  // namespace cnpd::kernels::cudnn
