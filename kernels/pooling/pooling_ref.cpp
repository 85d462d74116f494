#include <cmath>
#include <vector>

#include "kernels/pooling/pooling.h"

namespace cnpd::kernels::reference {
namespace {

// Calls body(input element, output element, position in the image) for every element of every
// window, without padding, windows in the order of the outputs.
template <class Body>
void for_each_pair(const PoolingShape& s, const Body& body) {
    for (std::int64_t n = 0; n < s.n; ++n)
        for (std::int64_t oh = 0; oh < s.out_h(); ++oh)
            for (std::int64_t ow = 0; ow < s.out_w(); ++ow)
                for (std::int64_t i = 0; i < s.window_h; ++i)
                    for (std::int64_t j = 0; j < s.window_w; ++j) {
                        const std::int64_t h = oh * s.stride - s.pad + i;
                        const std::int64_t w = ow * s.stride - s.pad + j;
                        if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
                        const std::int64_t in = ((n * s.h + h) * s.w + w) * s.c;
                        const std::int64_t out = ((n * s.out_h() + oh) * s.out_w() + ow) * s.c;
                        for (std::int64_t c = 0; c < s.c; ++c) body(in + c, out + c, h * s.w + w);
                    }
}

std::int64_t input_count(const PoolingShape& s) {
    return s.n * s.h * s.w * s.c;
}

std::int64_t output_count(const PoolingShape& s) {
    return s.n * s.out_h() * s.out_w() * s.c;
}

template <typename In, typename Out>
void average_forward(const PoolingShape& shape, const In* x, Out* y) {
    std::vector<double> sums(output_count(shape), 0.0);
    for_each_pair(shape,
                  [&](std::int64_t in, std::int64_t out, std::int64_t) { sums[out] += x[in]; });
    const auto area = static_cast<double>(shape.window_h * shape.window_w);
    for (std::size_t i = 0; i < sums.size(); ++i) y[i] = Out(static_cast<float>(sums[i] / area));
}

template <typename Out, typename In>
void average_backward(const PoolingShape& shape, const Out* dy, In* dx) {
    std::vector<double> sums(input_count(shape), 0.0);
    for_each_pair(shape,
                  [&](std::int64_t in, std::int64_t out, std::int64_t) { sums[in] += dy[out]; });
    const auto area = static_cast<double>(shape.window_h * shape.window_w);
    for (std::size_t i = 0; i < sums.size(); ++i) dx[i] = In(static_cast<float>(sums[i] / area));
}

}  // namespace

template <typename T>
void average_pool_forward(const PoolingShape& shape, const T* x, T* y) {
    average_forward(shape, x, y);
}
CNPD_INSTANTIATE(average_pool_forward);

template <typename T>
void average_pool_backward(const PoolingShape& shape, const T* dy, T* dx) {
    average_backward(shape, dy, dx);
}
CNPD_INSTANTIATE(average_pool_backward);

template <typename T>
void global_average_pool_forward(const PoolingShape& shape, const T* x, float* y) {
    average_forward(shape, x, y);
}
CNPD_INSTANTIATE(global_average_pool_forward);

template <typename T>
void global_average_pool_backward(const PoolingShape& shape, const float* dy, T* dx) {
    average_backward(shape, dy, dx);
}
CNPD_INSTANTIATE(global_average_pool_backward);

template <typename T>
void max_pool_forward(const PoolingShape& shape, const T* x, T* y, std::int32_t* argmax) {
    for (std::int64_t i = 0; i < output_count(shape); ++i) argmax[i] = -1;
    for_each_pair(shape, [&](std::int64_t in, std::int64_t out, std::int64_t position) {
        if (argmax[out] >= 0 && !(x[in] > y[out]) && !std::isnan(float{x[in]})) return;
        y[out] = x[in];
        argmax[out] = static_cast<std::int32_t>(position);
    });
}
CNPD_INSTANTIATE(max_pool_forward);

template <typename T>
void max_pool_backward(const PoolingShape& shape, const T* dy, const std::int32_t* argmax, T* dx) {
    std::vector<double> sums(input_count(shape), 0.0);
    for_each_pair(shape, [&](std::int64_t in, std::int64_t out, std::int64_t position) {
        if (argmax[out] == position) sums[in] += dy[out];
    });
    for (std::size_t i = 0; i < sums.size(); ++i) dx[i] = T(static_cast<float>(sums[i]));
}
CNPD_INSTANTIATE(max_pool_backward);

}  // namespace cnpd::kernels::reference
