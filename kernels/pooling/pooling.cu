#include "kernels/pooling/pooling.h"

#include "kernels/common/cuda.h"
#include "kernels/common/grid.h"

namespace cnpd::kernels::cuda {
namespace {

// In all kernels below neighbouring threads have neighbouring channels, so a warp's loads and
// stores are contiguous; each element of the output is written by one thread.

// The rows of windows that contain row h: [first, last].
struct Range {
    std::int64_t first, last;
};
__device__ Range windows_over(std::int64_t h, std::int64_t window, std::int64_t stride,
                              std::int64_t pad, std::int64_t count) {
    const std::int64_t at = h + pad;
    const std::int64_t first = at < window ? 0 : (at - window) / stride + 1;
    const std::int64_t last = at / stride;
    return {first, last < count ? last : count - 1};
}

struct Position {
    std::int64_t n, h, w, c;
};
__device__ Position position_of(std::int64_t element, std::int64_t h, std::int64_t w,
                                std::int64_t c) {
    return {element / c / w / h, element / c / w % h, element / c % w, element % c};
}

// Calls visit(element of x, position h * W + w) for this output's window, without padding.
template <typename Visit>
__device__ void for_each_in_window(const PoolingShape& s, const Position& out, const Visit& visit) {
    for (std::int64_t r = 0; r < s.window_h; ++r)
        for (std::int64_t q = 0; q < s.window_w; ++q) {
            const std::int64_t h = out.h * s.stride - s.pad + r;
            const std::int64_t w = out.w * s.stride - s.pad + q;
            if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
            visit(((out.n * s.h + h) * s.w + w) * s.c + out.c, h * s.w + w);
        }
}

// Calls visit(element of y) for the windows that contain this input.
template <typename Visit>
__device__ void for_each_window_over(const PoolingShape& s, const Position& in,
                                     const Visit& visit) {
    const Range rows = windows_over(in.h, s.window_h, s.stride, s.pad, s.out_h());
    const Range columns = windows_over(in.w, s.window_w, s.stride, s.pad, s.out_w());
    for (std::int64_t oh = rows.first; oh <= rows.last; ++oh)
        for (std::int64_t ow = columns.first; ow <= columns.last; ++ow)
            visit(((in.n * s.out_h() + oh) * s.out_w() + ow) * s.c + in.c);
}

template <typename In, typename Out>
__global__ void average_forward(PoolingShape s, const In* x, Out* y, std::int64_t count) {
    const float area = static_cast<float>(s.window_h * s.window_w);
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        float sum = 0;
        for_each_in_window(s, position_of(i, s.out_h(), s.out_w(), s.c),
                           [&](std::int64_t element, std::int64_t) { sum += x[element]; });
        y[i] = Out(sum / area);
    }
}

// Gathers from the windows that contain this element. Without atomics, so results are reproducible.
template <typename Out, typename In>
__global__ void average_backward(PoolingShape s, const Out* dy, In* dx, std::int64_t count) {
    const float area = static_cast<float>(s.window_h * s.window_w);
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        float sum = 0;
        for_each_window_over(s, position_of(i, s.h, s.w, s.c),
                             [&](std::int64_t element) { sum += dy[element]; });
        dx[i] = In(sum / area);
    }
}

template <typename T>
__global__ void max_forward(PoolingShape s, const T* x, T* y, std::int32_t* argmax,
                            std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        float best = 0;
        std::int64_t where = -1;
        for_each_in_window(s, position_of(i, s.out_h(), s.out_w(), s.c),
                           [&](std::int64_t element, std::int64_t position) {
                               const float value = x[element];
                               if (where >= 0 && !(value > best) && !isnan(value)) return;
                               best = value;
                               where = position;
                           });
        y[i] = T(best);
        argmax[i] = static_cast<std::int32_t>(where);
    }
}

template <typename T>
__global__ void max_backward(PoolingShape s, const T* dy, const std::int32_t* argmax, T* dx,
                             std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        const Position at = position_of(i, s.h, s.w, s.c);
        float sum = 0;
        for_each_window_over(s, at, [&](std::int64_t element) {
            if (argmax[element] == at.h * s.w + at.w) sum += dy[element];
        });
        dx[i] = T(sum);
    }
}

std::int64_t inputs(const PoolingShape& s) {
    return s.n * s.h * s.w * s.c;
}
std::int64_t outputs(const PoolingShape& s) {
    return s.n * s.out_h() * s.out_w() * s.c;
}

}  // namespace

template <typename T>
void average_pool_forward(const PoolingShape& shape, const T* x, T* y) {
    launch_elements("average_pool_forward", outputs(shape), average_forward<T, T>, shape, x, y);
}
CNPD_INSTANTIATE(average_pool_forward);

template <typename T>
void average_pool_backward(const PoolingShape& shape, const T* dy, T* dx) {
    launch_elements("average_pool_backward", inputs(shape), average_backward<T, T>, shape, dy, dx);
}
CNPD_INSTANTIATE(average_pool_backward);

template <typename T>
void global_average_pool_forward(const PoolingShape& shape, const T* x, float* y) {
    launch_elements("global_average_pool_forward", outputs(shape), average_forward<T, float>, shape,
                    x, y);
}
CNPD_INSTANTIATE(global_average_pool_forward);

template <typename T>
void global_average_pool_backward(const PoolingShape& shape, const float* dy, T* dx) {
    launch_elements("global_average_pool_backward", inputs(shape), average_backward<float, T>,
                    shape, dy, dx);
}
CNPD_INSTANTIATE(global_average_pool_backward);

template <typename T>
void max_pool_forward(const PoolingShape& shape, const T* x, T* y, std::int32_t* argmax) {
    launch_elements("max_pool_forward", outputs(shape), max_forward<T>, shape, x, y, argmax);
}
CNPD_INSTANTIATE(max_pool_forward);

template <typename T>
void max_pool_backward(const PoolingShape& shape, const T* dy, const std::int32_t* argmax, T* dx) {
    launch_elements("max_pool_backward", inputs(shape), max_backward<T>, shape, dy, argmax, dx);
}
CNPD_INSTANTIATE(max_pool_backward);

}  // namespace cnpd::kernels::cuda
