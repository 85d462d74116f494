#include "kernels/convolution/convolution.h"
#include "kernels/convolution/direct.h"
#include "kernels/convolution/few_channels.h"
#include "kernels/convolution/frozen_filter.h"
#include "kernels/convolution/winograd.h"
#include "kernels/vendor/onednn.h"

namespace cnpd::kernels::cpu {

void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         FilterLayouts* layouts, const ConvolutionEpilogue<float>& epilogue,
                         float* y) {
    const bool by_winograd = winograd::applies(shape);
    if (direct::applies(shape, by_winograd ? winograd::tiles_of(shape) : 0))
        return direct::convolution_forward(shape, x, filter, layouts, epilogue, y);
    if (by_winograd) return winograd::convolution_forward(shape, x, filter, layouts, epilogue, y);
    onednn::convolution_forward(shape, x, filter, epilogue, y);
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       FilterLayouts* layouts, float* dx) {
    if (winograd::applies(shape))
        return winograd::convolution_dgrad(shape, dy, filter, layouts, dx);
    if (few_channels::applies(shape)) return few_channels::convolution_dgrad(shape, dy, filter, dx);
    onednn::convolution_dgrad(shape, dy, filter, dx);
}

void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         const ConvolutionEpilogue<float>& epilogue, float* y) {
    convolution_forward(shape, x, filter, nullptr, epilogue, y);
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx) {
    convolution_dgrad(shape, dy, filter, nullptr, dx);
}

void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter) {
    if (winograd::applies(shape)) return winograd::convolution_wgrad(shape, x, dy, dfilter);
    onednn::convolution_wgrad(shape, x, dy, dfilter);
}

}  // namespace cnpd::kernels::cpu
