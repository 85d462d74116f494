#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/ops/check.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/gemm/gemm.h"

namespace cnpd::engine::ops {

using kernels::GemmShape;

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
    require_rank("linear", "x", x, 2);
    require_rank("linear", "weight", weight, 2);
    require_same_device("linear", x, {&weight, &bias});
    const std::int64_t n = x.shape()[0], in = x.shape()[1], out = weight.shape()[0];
    require_shape("linear", "weight", weight, {out, in});
    if (bias.defined()) require_shape("linear", "bias", bias, {out});

    Tensor y = Tensor::empty({n, out}, DType::float32, x.device());
    CNPD_RUN(x.device(), gemm, (GemmShape{.m = n, .n = out, .k = in, .transpose_b = true}),
             x.data<float>(), weight.data<float>(), y.data<float>());
    if (bias.defined())
        CNPD_RUN(x.device(), add_row, y.data<float>(), bias.data<float>(), n, out, y.data<float>());
    if (!should_record({&x, &weight, &bias})) return y;

    const Tensor saved_x = weight.requires_grad() ? x.detach() : Tensor();
    const Tensor saved_weight = x.requires_grad() ? weight.detach() : Tensor();
    record("linear", {&x, &weight, &bias}, y, [=](const Tensor& dy, GradientSink& sink) {
        const Device device = dy.device();
        if (sink.wants(0)) {
            Tensor dx = Tensor::empty({n, in}, DType::float32, device);
            CNPD_RUN(device, gemm, (GemmShape{.m = n, .n = in, .k = out}), dy.data<float>(),
                     saved_weight.data<float>(), dx.data<float>());
            sink.give(0, dx);
        }
        if (sink.wants(1)) {
            Tensor dweight = Tensor::empty({out, in}, DType::float32, device);
            CNPD_RUN(device, gemm, (GemmShape{.m = out, .n = in, .k = n, .transpose_a = true}),
                     dy.data<float>(), saved_x.data<float>(), dweight.data<float>());
            sink.give(1, dweight);
        }
        if (sink.wants(2)) {
            Tensor dbias = Tensor::empty({out}, DType::float32, device);
            CNPD_RUN(device, sum_rows, dy.data<float>(), n, out, dbias.data<float>());
            sink.give(2, dbias);
        }
    });
    return y;
}

}  // namespace cnpd::engine::ops
