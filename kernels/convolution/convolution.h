// 2-d convolution (cross-correlation, as in every deep-learning library), its two gradients, and
// operations fused into the forward pass.
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"

namespace cnpd::kernels {

// Activations are [N,H,W,C] and [N,OH,OW,K], filters [K,R,S,C]; contiguous.
struct ConvolutionShape {
    std::int64_t n = 0, h = 0, w = 0, c = 0;  // input
    std::int64_t k = 0, r = 0, s = 0;         // filters
    std::int64_t stride = 1, pad = 0;         // the same in both directions

    CNPD_HOST_DEVICE std::int64_t out_h() const { return (h + 2 * pad - r) / stride + 1; }
    CNPD_HOST_DEVICE std::int64_t out_w() const { return (w + 2 * pad - s) / stride + 1; }
    bool operator==(const ConvolutionShape&) const = default;
};

// y = relu?(convolution + bias? + residual?), in this order; null pointers and false omit a part.
template <typename Activation>
struct ConvolutionEpilogue {
    const float* bias = nullptr;           // [K]
    const Activation* residual = nullptr;  // [N,OH,OW,K], may not overlap y
    bool relu = false;
};

// Writes all of y [N,OH,OW,K]. The filter has the type of the activations, as tensor cores require.
CNPD_ACTIVATION_KERNEL(void convolution_forward(const ConvolutionShape& shape, const Activation* x,
                                                const Activation* filter,
                                                const ConvolutionEpilogue<Activation>& epilogue,
                                                Activation* y))

// Gradient with respect to the input: writes all of dx [N,H,W,C] from dy [N,OH,OW,K].
CNPD_ACTIVATION_KERNEL(void convolution_dgrad(const ConvolutionShape& shape, const Activation* dy,
                                              const Activation* filter, Activation* dx))

// Gradient with respect to the filter: writes all of dfilter [K,R,S,C]. For bfloat16 activations
// its values may have been rounded to bfloat16 once.
CNPD_ACTIVATION_KERNEL(void convolution_wgrad(const ConvolutionShape& shape, const Activation* x,
                                              const Activation* dy, float* dfilter))

}  // namespace cnpd::kernels
