// Average and max pooling of [N,H,W,C] to [N,OH,OW,C].
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"

namespace cnpd::kernels {

struct PoolingShape {  // of max pooling, pad is at most half the window: no window is all padding
    std::int64_t n = 0, h = 0, w = 0, c = 0;
    std::int64_t window_h = 0, window_w = 0, stride = 1, pad = 0;

    CNPD_HOST_DEVICE std::int64_t out_h() const { return (h + 2 * pad - window_h) / stride + 1; }
    CNPD_HOST_DEVICE std::int64_t out_w() const { return (w + 2 * pad - window_w) / stride + 1; }
};

// The mean of each window. Padded zeros count, as in PyTorch's default (count_include_pad).
CNPD_ACTIVATION_KERNEL(void average_pool_forward(const PoolingShape& shape, const Activation* x,
                                                 Activation* y))
// Writes all of dx.
CNPD_ACTIVATION_KERNEL(void average_pool_backward(const PoolingShape& shape, const Activation* dy,
                                                  Activation* dx))

// The same for a window of the size of the image. The last operation on activations: y [N,C], the
// classifier's input, is float32 for every type of activation.
CNPD_ACTIVATION_KERNEL(void global_average_pool_forward(const PoolingShape& shape,
                                                        const Activation* x, float* y))
CNPD_ACTIVATION_KERNEL(void global_average_pool_backward(const PoolingShape& shape, const float* dy,
                                                         Activation* dx))

// The largest element of each window without padding, and its position h * W + w in the image (the
// first one if several are equal). NaN is the largest, and the last NaN is chosen, as in PyTorch.
CNPD_ACTIVATION_KERNEL(void max_pool_forward(const PoolingShape& shape, const Activation* x,
                                             Activation* y, std::int32_t* argmax))
// Writes all of dx: zeros, and each dy added at its argmax.
CNPD_ACTIVATION_KERNEL(void max_pool_backward(const PoolingShape& shape, const Activation* dy,
                                              const std::int32_t* argmax, Activation* dx))

}  // namespace cnpd::kernels
