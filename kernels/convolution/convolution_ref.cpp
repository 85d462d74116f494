#include <algorithm>
#include <vector>

#include "kernels/convolution/convolution.h"

namespace cnpd::kernels::reference {
namespace {

// Calls visit(x offset, filter offset, y offset) for every product of the convolution. Offsets are
// those of channel 0 and of filter k; x and filter continue for C elements.
template <class Visit>
void for_each_product(const ConvolutionShape& shape, const Visit& visit) {
    for (std::int64_t n = 0; n < shape.n; ++n)
        for (std::int64_t oh = 0; oh < shape.out_h(); ++oh)
            for (std::int64_t ow = 0; ow < shape.out_w(); ++ow)
                for (std::int64_t k = 0; k < shape.k; ++k)
                    for (std::int64_t r = 0; r < shape.r; ++r)
                        for (std::int64_t s = 0; s < shape.s; ++s) {
                            const std::int64_t h = oh * shape.stride + r - shape.pad;
                            const std::int64_t w = ow * shape.stride + s - shape.pad;
                            if (h < 0 || h >= shape.h || w < 0 || w >= shape.w) continue;
                            visit(((n * shape.h + h) * shape.w + w) * shape.c,
                                  ((k * shape.r + r) * shape.s + s) * shape.c,
                                  ((n * shape.out_h() + oh) * shape.out_w() + ow) * shape.k + k);
                        }
}

}  // namespace

template <typename T>
void convolution_forward(const ConvolutionShape& shape, const T* x, const T* filter,
                         const ConvolutionEpilogue<T>& epilogue, T* y) {
    std::vector<double> sums(shape.n * shape.out_h() * shape.out_w() * shape.k);
    for_each_product(shape, [&](std::int64_t x_at, std::int64_t filter_at, std::int64_t y_at) {
        for (std::int64_t c = 0; c < shape.c; ++c)
            sums[y_at] += double{x[x_at + c]} * filter[filter_at + c];
    });
    for (std::size_t i = 0; i < sums.size(); ++i) {
        if (epilogue.bias) sums[i] += epilogue.bias[i % shape.k];
        if (epilogue.residual) sums[i] += epilogue.residual[i];
        if (epilogue.relu && sums[i] < 0) sums[i] = 0;
        y[i] = T(static_cast<float>(sums[i]));
    }
}
CNPD_INSTANTIATE(convolution_forward);

template <typename T>
void convolution_dgrad(const ConvolutionShape& shape, const T* dy, const T* filter, T* dx) {
    std::vector<double> sums(shape.n * shape.h * shape.w * shape.c);
    for_each_product(shape, [&](std::int64_t x_at, std::int64_t filter_at, std::int64_t y_at) {
        for (std::int64_t c = 0; c < shape.c; ++c)
            sums[x_at + c] += double{dy[y_at]} * filter[filter_at + c];
    });
    std::transform(sums.begin(), sums.end(), dx,
                   [](double sum) { return T(static_cast<float>(sum)); });
}
CNPD_INSTANTIATE(convolution_dgrad);

template <typename T>
void convolution_wgrad(const ConvolutionShape& shape, const T* x, const T* dy, float* dfilter) {
    std::vector<double> sums(shape.k * shape.r * shape.s * shape.c);
    for_each_product(shape, [&](std::int64_t x_at, std::int64_t filter_at, std::int64_t y_at) {
        for (std::int64_t c = 0; c < shape.c; ++c)
            sums[filter_at + c] += double{dy[y_at]} * x[x_at + c];
    });
    std::copy(sums.begin(), sums.end(), dfilter);
}
CNPD_INSTANTIATE(convolution_wgrad);

}  // namespace cnpd::kernels::reference
