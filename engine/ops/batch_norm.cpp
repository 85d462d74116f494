#include "kernels/batch_norm/batch_norm.h"

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/ops/check.h"
#include "kernels/batch_norm/coefficients.h"

namespace cnpd::engine::ops {
namespace {

// Stored for the backward pass.
struct Saved {
    Tensor x, mean, inv_std, scale, shift;
    std::int64_t rows, channels;
    bool training, relu;
};

Tensor vector_like(const Tensor& x, std::int64_t channels) {
    return Tensor::empty({channels}, DType::float32, x.device());
}

void batch_norm_backward(const Saved& saved, const Tensor& dy, GradientSink& sink) {
    const Device device = dy.device();
    const std::int64_t rows = saved.rows, channels = saved.channels;
    Tensor b, c;
    if (saved.training || sink.wants(1) || sink.wants(2)) {
        Tensor sum_g = vector_like(dy, channels), sum_gx = vector_like(dy, channels);
        CNPD_RUN_AS(dy, batch_norm_backward_reduce, dy.data<T>(), saved.x.data<T>(), rows, channels,
                    saved.mean.data<float>(), saved.scale.data<float>(), saved.shift.data<float>(),
                    saved.relu, sum_g.data<float>(), sum_gx.data<float>());
        b = vector_like(dy, channels);
        c = vector_like(dy, channels);
        CNPD_RUN(device, batch_norm_backward_coefficients, channels, rows, saved.mean.data<float>(),
                 saved.inv_std.data<float>(), saved.scale.data<float>(), sum_g.data<float>(),
                 sum_gx.data<float>(), b.data<float>(), c.data<float>());
        sink.give(1, sum_gx);
        sink.give(2, sum_g);
    }
    if (!sink.wants(0)) return;
    const Tensor along_shortcut = sink.take(0);
    Tensor dx = over(dy);
    CNPD_RUN_AS(dy, batch_norm_backward_input, dy.data<T>(), saved.x.data<T>(), rows, channels,
                saved.scale.data<float>(), saved.shift.data<float>(), saved.relu,
                saved.scale.data<float>(), saved.training ? b.data<float>() : nullptr,
                saved.training ? c.data<float>() : nullptr,
                along_shortcut.defined() ? along_shortcut.data<T>() : nullptr, dx.data<T>());
    sink.give(0, dx);
}

}  // namespace

Tensor batch_norm(const Tensor& x, const BatchNorm& p) {
    CNPD_CHECK_SHAPE(x.defined() && x.shape().rank() >= 2, "batch_norm: x needs two or more axes");
    const std::int64_t channels = x.shape()[-1];
    const std::int64_t rows = channels ? x.elements() / channels : 0;
    for (const Tensor* vector : {&p.gamma, &p.beta, &p.running_mean, &p.running_variance})
        require_shape("batch_norm", "a parameter", *vector, {channels});
    if (p.batches.defined()) require_shape("batch_norm", "batches", p.batches, {});
    require_same_device("batch_norm", x,
                        {&p.gamma, &p.beta, &p.running_mean, &p.running_variance, &p.batches});
    const Device device = x.device();

    Tensor mean = p.running_mean.detach(), variance = p.running_variance.detach();
    if (p.training) {
        mean = vector_like(x, channels);
        variance = vector_like(x, channels);
        CNPD_RUN_AS(x, batch_norm_statistics, x.data<T>(), rows, channels, mean.data<float>(),
                    variance.data<float>());
        Tensor running_mean = p.running_mean, running_variance = p.running_variance,
               batches = p.batches;
        CNPD_RUN(device, batch_norm_update_running, channels, rows, mean.data<float>(),
                 variance.data<float>(), p.momentum, running_mean.data<float>(),
                 running_variance.data<float>(),
                 batches.defined() ? batches.data<std::int64_t>() : nullptr);
    }
    Tensor inv_std = vector_like(x, channels), scale = vector_like(x, channels),
           shift = vector_like(x, channels);
    CNPD_RUN(device, batch_norm_coefficients, channels, mean.data<float>(), variance.data<float>(),
             p.gamma.data<float>(), p.beta.data<float>(), p.eps, inv_std.data<float>(),
             scale.data<float>(), shift.data<float>());
    Tensor y = empty_like(x);
    CNPD_RUN_AS(x, batch_norm_apply, x.data<T>(), rows, channels, scale.data<float>(),
                shift.data<float>(), p.relu, y.data<T>());
    if (!should_record({&x, &p.gamma, &p.beta})) return y;

    Saved saved{.x = x.detach(),
                .mean = mean,
                .inv_std = inv_std,
                .scale = scale,
                .shift = shift,
                .rows = rows,
                .channels = channels,
                .training = p.training,
                .relu = p.relu};
    // In evaluation mode the running mean may change before the backward pass: copy it.
    if (!p.training) saved.mean = mean.clone();
    record("batch_norm", {&x, &p.gamma, &p.beta}, y,
           [saved = std::move(saved)](const Tensor& dy, GradientSink& sink) {
               batch_norm_backward(saved, dy, sink);
           });
    return y;
}

Tensor inverse_std(const Tensor& variance, float eps) {
    Tensor result = empty_like(variance);
    CNPD_RUN(variance.device(), batch_norm_inverse_std, variance.elements(), variance.data<float>(),
             eps, result.data<float>());
    return result;
}

Tensor channel_affine(const Tensor& x, const Tensor& scale, const Tensor& shift, bool relu) {
    CNPD_CHECK_SHAPE(x.defined() && x.shape().rank() >= 1, "channel_affine: x needs an axis");
    const std::int64_t channels = x.shape()[-1];
    const std::int64_t rows = channels ? x.elements() / channels : 0;
    require_shape("channel_affine", "scale", scale, {channels});
    require_shape("channel_affine", "shift", shift, {channels});
    require_same_device("channel_affine", x, {&scale, &shift});
    Tensor y = empty_like(x);
    CNPD_RUN_AS(x, batch_norm_apply, x.data<T>(), rows, channels, scale.data<float>(),
                shift.data<float>(), relu, y.data<T>());
    if (!should_record({&x})) return y;

    // Without ReLU the gradient does not depend on x, and dy is passed instead.
    const Tensor saved_x = relu ? x.detach() : Tensor();
    record(
        "channel_affine", {&x}, y,
        [=, scale = scale.detach(), shift = shift.detach()](const Tensor& dy, GradientSink& sink) {
            const Tensor along_shortcut = sink.take(0);
            Tensor dx = over(dy);
            CNPD_RUN_AS(
                dy, batch_norm_backward_input, dy.data<T>(),
                relu ? saved_x.data<T>() : dy.data<T>(), rows, channels, scale.data<float>(),
                shift.data<float>(), relu, scale.data<float>(), nullptr, nullptr,
                along_shortcut.defined() ? along_shortcut.data<T>() : nullptr, dx.data<T>());
            sink.give(0, dx);
        });
    return y;
}

}  // namespace cnpd::engine::ops
