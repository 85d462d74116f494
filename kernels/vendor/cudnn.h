// Convolutions through cuDNN, without its headers.
#pragma once

#include "kernels/convolution/convolution.h"

namespace cnpd::kernels::cudnn {

// As in convolution.h, for T float and bfloat16, but without the epilogue and with a dfilter of
// type T; on the current stream. bfloat16 goes through tensor cores, with sums in float32; float
// does where tf32_allowed(). Algorithms are chosen by measurement, the first time that a shape is
// seen, among those that repeat bit for bit (algorithm_search.h); a shape must have been seen
// before a graph is captured with it. Where cuDNN has no such algorithm, its search fails or
// scratch memory is missing, return false with a notice (common/notice.h); y, dx or dfilter may
// have been written. Throw CudaError.
template <typename T>
bool forward(const ConvolutionShape& shape, const T* x, const T* filter, T* y);
template <typename T>
bool dgrad(const ConvolutionShape& shape, const T* dy, const T* filter, T* dx);
template <typename T>
bool wgrad(const ConvolutionShape& shape, const T* x, const T* dy, T* dfilter);

}  // namespace cnpd::kernels::cudnn
