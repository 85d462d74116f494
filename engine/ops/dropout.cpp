#include "kernels/dropout/dropout.h"

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/ops/check.h"

namespace cnpd::engine::ops {
namespace {

using kernels::DropoutDraw;

static_assert(sizeof(DropoutDraw) == 2 * sizeof(std::int64_t));

Tensor masked(const Tensor& x, float probability, const Tensor& draw) {
    Tensor y = empty_like(x);
    CNPD_RUN(x.device(), dropout, probability, x.data<float>(), x.elements(),
             reinterpret_cast<const DropoutDraw*>(draw.data<std::int64_t>()), y.data<float>());
    return y;
}

}  // namespace

Tensor dropout(const Tensor& x, float probability, Tensor& draw) {
    require_shape("dropout", "draw", draw, {2});
    require_same_device("dropout", x, {&draw});
    CNPD_CHECK_SHAPE(probability >= 0 && probability < 1,
                     fmt::format("dropout: probability {}", probability));
    // The gradient needs this draw, but `draw` will have changed by then.
    const Tensor of_this_step = draw.clone();
    Tensor y = masked(x, probability, of_this_step);
    CNPD_RUN(x.device(), advance, reinterpret_cast<DropoutDraw*>(draw.data<std::int64_t>()));
    if (!should_record({&x})) return y;
    record("dropout", {&x}, y, [=](const Tensor& dy, GradientSink& sink) {
        sink.give(0, masked(dy, probability, of_this_step));
    });
    return y;
}

}  // namespace cnpd::engine::ops
