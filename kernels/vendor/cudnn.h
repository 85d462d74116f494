// Convolutions through cuDNN, without its headers.
#pragma once

#include "kernels/convolution/convolution.h"

namespace cnpd::kernels::cudnn {

// As in convolution.h, for T float and bfloat16, but without the epilogue and with a dfilter of
// type T; on the current stream. bfloat16 uses tensor cores, with sums in float32; float uses them
// if tf32_allowed(). Algorithms are chosen by measurement at the first call for a shape, among
// those that are deterministic (algorithm_search.h); this first call must come before a graph is
// captured with the shape. If cuDNN has no such algorithm, its search fails or scratch memory is
// missing, the functions return false with a notice (common/notice.h); y, dx or dfilter may have
// been written. They throw CudaError.
template <typename T>
bool forward(const ConvolutionShape& shape, const T* x, const T* filter, T* y);
template <typename T>
bool dgrad(const ConvolutionShape& shape, const T* dy, const T* filter, T* dx);
template <typename T>
bool wgrad(const ConvolutionShape& shape, const T* x, const T* dy, T* dfilter);

}  // namespace cnpd::kernels::cudnn
