#include "kernels/convolution/convolution.h"

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/ops/check.h"
#include "kernels/convolution/frozen_filter.h"
#include "kernels/elementwise/elementwise.h"

namespace cnpd::engine::ops {
namespace {

using kernels::ConvolutionShape;

ConvolutionShape shape_of(const Tensor& x, const Tensor& filter,
                          const ConvolutionOptions& options) {
    require_rank("convolution", "x", x, 4);
    require_rank("convolution", "filter", filter, 4);
    const Shape &xs = x.shape(), &fs = filter.shape();
    CNPD_CHECK_SHAPE(xs[3] == fs[3],
                     fmt::format("convolution: x {} and filter {}", xs.str(), fs.str()));
    const ConvolutionShape shape{.n = xs[0],
                                 .h = xs[1],
                                 .w = xs[2],
                                 .c = xs[3],
                                 .k = fs[0],
                                 .r = fs[1],
                                 .s = fs[2],
                                 .stride = options.stride,
                                 .pad = options.padding};
    CNPD_CHECK_SHAPE(filter.elements() > 0,
                     fmt::format("convolution: filter {} is empty", fs.str()));
    CNPD_CHECK_SHAPE(options.stride >= 1 && options.padding >= 0 &&
                         shape.h + 2 * shape.pad >= shape.r && shape.w + 2 * shape.pad >= shape.s,
                     fmt::format("convolution: filter {} is larger than x {}", fs.str(), xs.str()));
    return shape;
}

// Backward pass of the epilogue's ReLU.
Tensor through_relu(const Tensor& gradient, const Tensor& y) {
    Tensor masked = over(gradient);
    CNPD_RUN_AS(y, relu_backward, gradient.data<T>(), y.data<T>(), y.elements(), masked.data<T>());
    return masked;
}

// The filter in x's type. Not on the tape: the gradient of the rounded filter is used as the
// filter's gradient.
Tensor filter_for(const Tensor& x, const Tensor& filter) {
    const NoGrad no_grad;
    return cast(filter.detach(), x.dtype());
}

// What the CPU keeps of a filter between calls: only if the filter is constant. The data of a
// parameter that trains changes at every step.
std::shared_ptr<kernels::FilterLayouts> layouts_of(const Tensor& filter, bool constant) {
    const bool supported =
        filter.device().backend == Backend::cpu && filter.dtype() == DType::float32;
    return constant && supported ? filter.filter_layouts() : nullptr;
}

template <class T>
kernels::ConvolutionEpilogue<T> epilogue_of(const ConvolutionOptions& options) {
    return {.bias = options.bias.defined() ? options.bias.data<float>() : nullptr,
            .residual = options.residual.defined() ? options.residual.data<T>() : nullptr,
            .relu = options.relu};
}

void forward(const ConvolutionShape& shape, const Tensor& x, const Tensor& filter, bool constant,
             const ConvolutionOptions& options, Tensor& y) {
    if (const auto layouts = layouts_of(filter, constant))
        return kernels::cpu::convolution_forward(shape, x.data<float>(), filter.data<float>(),
                                                 layouts.get(), epilogue_of<float>(options),
                                                 y.data<float>());
    CNPD_RUN_AS(x, convolution_forward, shape, x.data<T>(), filter.data<T>(),
                epilogue_of<T>(options), y.data<T>());
}

void dgrad(const ConvolutionShape& shape, const Tensor& dy, const Tensor& filter, bool constant,
           Tensor& dx) {
    if (const auto layouts = layouts_of(filter, constant))
        return kernels::cpu::convolution_dgrad(shape, dy.data<float>(), filter.data<float>(),
                                               layouts.get(), dx.data<float>());
    CNPD_RUN_AS(dy, convolution_dgrad, shape, dy.data<T>(), filter.data<T>(), dx.data<T>());
}

}  // namespace

Tensor convolution(const Tensor& x, const Tensor& filter, const ConvolutionOptions& options) {
    const ConvolutionShape shape = shape_of(x, filter, options);
    const Tensor &bias = options.bias, &residual = options.residual;
    require_same_device("convolution", x, {&filter, &bias, &residual});
    const Shape out{shape.n, shape.out_h(), shape.out_w(), shape.k};
    if (bias.defined()) require_shape("convolution", "bias", bias, {shape.k});
    if (residual.defined()) require_shape("convolution", "residual", residual, out);

    const Tensor applied = filter_for(x, filter);
    Tensor y = Tensor::empty(out, x.dtype(), x.device());
    const bool constant = !filter.requires_grad();
    forward(shape, x, applied, constant, options, y);
    if (!should_record({&x, &filter, &bias, &residual})) return y;

    // If the filter is frozen x is not needed; if x is constant the filter is not needed.
    const Tensor saved_x = filter.requires_grad() ? x.detach() : Tensor();
    const Tensor saved_filter = x.requires_grad() ? applied : Tensor();
    const Tensor saved_y = options.relu ? y.detach() : Tensor();
    record(
        "convolution", {&x, &filter, &bias, &residual}, y,
        [=](const Tensor& gradient, GradientSink& sink) {
            const Device device = gradient.device();
            const Tensor dy = saved_y.defined() ? through_relu(gradient, saved_y) : gradient;
            if (sink.wants(3)) sink.give(3, dy);
            if (sink.wants(2)) {
                Tensor dbias = Tensor::empty({shape.k}, DType::float32, device);
                CNPD_RUN_AS(dy, sum_rows, dy.data<T>(), dy.elements() / shape.k, shape.k,
                            dbias.data<float>());
                sink.give(2, dbias);
            }
            if (sink.wants(1)) {
                Tensor dfilter =
                    Tensor::empty({shape.k, shape.r, shape.s, shape.c}, DType::float32, device);
                CNPD_RUN_AS(dy, convolution_wgrad, shape, saved_x.data<T>(), dy.data<T>(),
                            dfilter.data<float>());
                sink.give(1, dfilter);
            }
            if (sink.wants(0)) {
                Tensor dx = Tensor::empty({shape.n, shape.h, shape.w, shape.c}, dy.dtype(), device);
                dgrad(shape, dy, saved_filter, constant, dx);
                sink.give(0, dx);
            }
        });
    return y;
}

}  // namespace cnpd::engine::ops
