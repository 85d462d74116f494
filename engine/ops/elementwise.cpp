#include "kernels/elementwise/elementwise.h"

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace cnpd::engine::ops {

Tensor relu(const Tensor& x) {
    Tensor y = empty_like(x);
    CNPD_RUN(x.device(), relu_forward, x.data<float>(), x.elements(), y.data<float>());
    if (!should_record({&x})) return y;
    record("relu", {&x}, y, [saved_y = y.detach()](const Tensor& dy, GradientSink& sink) {
        Tensor dx = empty_like(dy);
        CNPD_RUN(dy.device(), relu_backward, dy.data<float>(), saved_y.data<float>(), dy.elements(),
                 dx.data<float>());
        sink.give(0, dx);
    });
    return y;
}

Tensor add(const Tensor& x, const Tensor& y) {
    require_shape("add", "y", y, x.shape());
    require_same_device("add", x, {&y});
    Tensor sum = empty_like(x);
    CNPD_RUN(x.device(), add, x.data<float>(), y.data<float>(), x.elements(), sum.data<float>());
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
