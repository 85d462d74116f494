#include "kernels/convolution/convolution.h"
#include "kernels/convolution/winograd.h"
#include "kernels/vendor/onednn.h"

namespace cnpd::kernels::cpu {

void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         const ConvolutionEpilogue<float>& epilogue, float* y) {
    if (winograd::applies(shape))
        return winograd::convolution_forward(shape, x, filter, epilogue, y);
    onednn::convolution_forward(shape, x, filter, epilogue, y);
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx) {
    if (winograd::applies(shape)) return winograd::convolution_dgrad(shape, dy, filter, dx);
    onednn::convolution_dgrad(shape, dy, filter, dx);
}

void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter) {
    if (winograd::applies(shape)) return winograd::convolution_wgrad(shape, x, dy, dfilter);
    onednn::convolution_wgrad(shape, x, dy, dfilter);
}

}  // namespace cnpd::kernels::cpu
