#include "kernels/pooling/pooling.h"

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/ops/check.h"
#include "kernels/pooling/adaptive.h"

namespace cnpd::engine::ops {
namespace {

using kernels::PoolingShape;

PoolingShape shape_of(const char* operation, const Tensor& x, const PoolingOptions& options) {
    require_rank(operation, "x", x, 4);
    const PoolingShape shape{.n = x.shape()[0],
                             .h = x.shape()[1],
                             .w = x.shape()[2],
                             .c = x.shape()[3],
                             .window_h = options.window,
                             .window_w = options.window,
                             .stride = options.stride,
                             .pad = options.padding};
    CNPD_CHECK_SHAPE(
        options.stride >= 1 && options.window >= 1 && options.padding >= 0 &&
            2 * options.padding <= options.window && shape.h + 2 * shape.pad >= shape.window_h &&
            shape.w + 2 * shape.pad >= shape.window_w,
        fmt::format("{}: window {} on x {}", operation, options.window, x.shape().str()));
    return shape;
}

Tensor average(const Tensor& x, const PoolingShape& shape) {
    Tensor y =
        Tensor::empty({shape.n, shape.out_h(), shape.out_w(), shape.c}, x.dtype(), x.device());
    CNPD_RUN_AS(x, average_pool_forward, shape, x.data<T>(), y.data<T>());
    if (!should_record({&x})) return y;
    record("average_pool", {&x}, y, [shape, in = x.shape()](const Tensor& dy, GradientSink& sink) {
        Tensor dx = Tensor::empty(in, dy.dtype(), dy.device());
        CNPD_RUN_AS(dy, average_pool_backward, shape, dy.data<T>(), dx.data<T>());
        sink.give(0, dx);
    });
    return y;
}

}  // namespace

Tensor average_pool(const Tensor& x, const PoolingOptions& options) {
    return average(x, shape_of("average_pool", x, options));
}

// The inputs of one tap of the filter, over all positions of the filter, are a window of the padded
// image as large as the convolution's output. One average pooling computes the means of all taps.
Tensor convolution_mean(const Tensor& x, const Tensor& filter, std::int64_t padding,
                        const Tensor& bias) {
    require_rank("convolution_mean", "x", x, 4);
    require_rank("convolution_mean", "filter", filter, 4);
    const std::int64_t k = filter.shape()[0], r = filter.shape()[1], s = filter.shape()[2];
    const std::int64_t c = filter.shape()[3];
    const PoolingShape shape{.n = x.shape()[0],
                             .h = x.shape()[1],
                             .w = x.shape()[2],
                             .c = x.shape()[3],
                             .window_h = x.shape()[1] + 2 * padding - r + 1,
                             .window_w = x.shape()[2] + 2 * padding - s + 1,
                             .pad = padding};
    CNPD_CHECK_SHAPE(padding >= 0 && shape.c == c && shape.window_h >= 1 && shape.window_w >= 1,
                     fmt::format("convolution_mean: x {}, filter {}, padding {}", x.shape().str(),
                                 filter.shape().str(), padding));
    const Tensor taps = cast(average(x, shape), DType::float32);  // [N,R,S,C]
    return linear(reshape(taps, {shape.n, r * s * c}), reshape(filter, {k, r * s * c}), bias);
}

Tensor global_average_pool(const Tensor& x) {
    require_rank("global_average_pool", "x", x, 4);
    const Shape& in = x.shape();
    CNPD_CHECK_SHAPE(in[1] > 0 && in[2] > 0,
                     fmt::format("global_average_pool: x {} has no pixels", in.str()));
    const PoolingShape shape{
        .n = in[0], .h = in[1], .w = in[2], .c = in[3], .window_h = in[1], .window_w = in[2]};
    Tensor y = Tensor::empty({in[0], in[3]}, DType::float32, x.device());
    CNPD_RUN_AS(x, global_average_pool_forward, shape, x.data<T>(), y.data<float>());
    if (!should_record({&x})) return y;
    record("global_average_pool", {&x}, y,
           [shape, in, dtype = x.dtype()](const Tensor& dy, GradientSink& sink) {
               Tensor dx = Tensor::empty(in, dtype, dy.device());
               CNPD_RUN_AS(dx, global_average_pool_backward, shape, dy.data<float>(), dx.data<T>());
               sink.give(0, dx);
           });
    return y;
}

Tensor adaptive_average_pool(const Tensor& x, std::int64_t height, std::int64_t width) {
    require_rank("adaptive_average_pool", "x", x, 4);
    const Shape in = x.shape();
    CNPD_CHECK_SHAPE(in[1] > 0 && in[2] > 0 && height > 0 && width > 0,
                     fmt::format("adaptive_average_pool: x {} to {}x{}", in.str(), height, width));
    const kernels::AdaptivePoolingShape shape{
        .n = in[0], .h = in[1], .w = in[2], .c = in[3], .out_h = height, .out_w = width};
    Tensor y = Tensor::empty({in[0], height, width, in[3]}, DType::float32, x.device());
    CNPD_RUN(x.device(), adaptive_average_pool_forward, shape, x.data<float>(), y.data<float>());
    if (!should_record({&x})) return y;
    record("adaptive_average_pool", {&x}, y, [shape, in](const Tensor& dy, GradientSink& sink) {
        Tensor dx = Tensor::empty(in, DType::float32, dy.device());
        CNPD_RUN(dy.device(), adaptive_average_pool_backward, shape, dy.data<float>(),
                 dx.data<float>());
        sink.give(0, dx);
    });
    return y;
}

Tensor max_pool(const Tensor& x, const PoolingOptions& options) {
    const PoolingShape shape = shape_of("max_pool", x, options);
    const Shape out{shape.n, shape.out_h(), shape.out_w(), shape.c};
    Tensor y = Tensor::empty(out, x.dtype(), x.device());
    Tensor positions = Tensor::empty(out, DType::int32, x.device());
    CNPD_RUN_AS(x, max_pool_forward, shape, x.data<T>(), y.data<T>(),
                positions.data<std::int32_t>());
    if (!should_record({&x})) return y;
    record("max_pool", {&x}, y,
           [shape, positions, in = x.shape()](const Tensor& dy, GradientSink& sink) {
               Tensor dx = Tensor::empty(in, dy.dtype(), dy.device());
               CNPD_RUN_AS(dy, max_pool_backward, shape, dy.data<T>(),
                           positions.data<std::int32_t>(), dx.data<T>());
               sink.give(0, dx);
           });
    return y;
}

}  // namespace cnpd::engine::ops
