#include "kernels/elementwise/elementwise.h"

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace cnpd::engine::ops {

Tensor relu(const Tensor& x) {
    Tensor y = empty_like(x);
    CNPD_RUN_AS(x, relu_forward, x.data<T>(), x.elements(), y.data<T>());
    if (!should_record({&x})) return y;
    record("relu", {&x}, y, [saved_y = y.detach()](const Tensor& dy, GradientSink& sink) {
        Tensor dx = empty_like(dy);
        CNPD_RUN_AS(dy, relu_backward, dy.data<T>(), saved_y.data<T>(), dy.elements(),
                    dx.data<T>());
        sink.give(0, dx);
    });
    return y;
}

Tensor add(const Tensor& x, const Tensor& y) {
    require_shape("add", "y", y, x.shape());
    require_same_device("add", x, {&y});
    Tensor sum = empty_like(x);
    CNPD_RUN_AS(x, add, x.data<T>(), y.data<T>(), x.elements(), sum.data<T>());
    if (!should_record({&x, &y})) return sum;
    record("add", {&x, &y}, sum, [](const Tensor& dsum, GradientSink& sink) {
        sink.give(0, dsum);
        sink.give(1, dsum);
    });
    return sum;
}

Tensor multiply(const Tensor& x, const Tensor& y) {
    require_shape("multiply", "y", y, x.shape());
    require_same_device("multiply", x, {&y});
    const auto product = [](const Tensor& a, const Tensor& b) {
        Tensor z = empty_like(a);
        CNPD_RUN(a.device(), multiply, a.data<float>(), b.data<float>(), a.elements(),
                 z.data<float>());
        return z;
    };
    Tensor z = product(x, y);
    if (!should_record({&x, &y})) return z;
    record("multiply", {&x, &y}, z,
           [=, x = x.detach(), y = y.detach()](const Tensor& dz, GradientSink& sink) {
               if (sink.wants(0)) sink.give(0, product(dz, y));
               if (sink.wants(1)) sink.give(1, product(dz, x));
           });
    return z;
}

Tensor scale(const Tensor& x, float alpha) {
    Tensor y = empty_like(x);
    CNPD_RUN(x.device(), scale, x.data<float>(), x.elements(), alpha, y.data<float>());
    if (!should_record({&x})) return y;
    record("scale", {&x}, y, [alpha](const Tensor& dy, GradientSink& sink) {
        Tensor dx = empty_like(dy);
        CNPD_RUN(dy.device(), scale, dy.data<float>(), dy.elements(), alpha, dx.data<float>());
        sink.give(0, dx);
    });
    return y;
}

namespace {
Tensor converted(const Tensor& x, DType dtype) {
    Tensor y = Tensor::empty(x.shape(), dtype, x.device());
    if (dtype == DType::bfloat16)
        CNPD_RUN(x.device(), cast, x.data<float>(), x.elements(), y.data<kernels::bfloat16>());
    else
        CNPD_RUN(x.device(), cast, x.data<kernels::bfloat16>(), x.elements(), y.data<float>());
    return y;
}
}  // namespace

Tensor cast(const Tensor& x, DType dtype) {
    if (x.dtype() == dtype) return x;
    CNPD_CHECK_SHAPE(dtype == DType::float32 || dtype == DType::bfloat16,
                     fmt::format("cast to {}", name_of(dtype)));
    Tensor y = converted(x, dtype);
    if (!should_record({&x})) return y;
    record("cast", {&x}, y, [original = x.dtype()](const Tensor& dy, GradientSink& sink) {
        sink.give(0, converted(dy, original));
    });
    return y;
}

Tensor reshape(const Tensor& x, const Shape& shape) {
    Tensor y = x.view(shape);
    if (!should_record({&x})) return y;
    record("reshape", {&x}, y, [original = x.shape()](const Tensor& dy, GradientSink& sink) {
        sink.give(0, dy.view(original));
    });
    return y;
}

void accumulate(const Tensor& x, Tensor& sums) {
    require_shape("accumulate", "sums", sums, x.shape());
    require_same_device("accumulate", x, {&sums});
    CNPD_RUN(x.device(), accumulate, x.data<float>(), x.elements(), sums.data<double>());
}

double sum_of_squares(const Tensor& x) {
    Tensor result = Tensor::empty({}, DType::float64, x.device());
    CNPD_RUN(x.device(), sum_of_squares, x.data<float>(), x.elements(), result.data<double>());
    return result.to_host<double>().front();
}

}  // namespace cnpd::engine::ops
