#include "cnpd/ops/router.h"

#include <algorithm>
#include <vector>

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops/check.h"
#include "kernels/router/router.h"

namespace cnpd::ops {

using engine::Device;
using engine::DType;
using engine::GradientSink;
using engine::Shape;
using engine::ops::empty_like;

Tensor router_attention(const Tensor& queries, const Tensor& keys) {
    engine::ops::require_rank("router_attention", "queries", queries, 2);
    engine::ops::require_rank("router_attention", "keys", keys, 2);
    const kernels::AttentionShape shape{
        .classes = queries.shape()[0], .experts = keys.shape()[0], .width = queries.shape()[1]};
    engine::ops::require_shape("router_attention", "keys", keys, {shape.experts, shape.width});
    CNPD_CHECK_SHAPE(shape.experts > 0 && shape.width > 0, "router_attention: no experts");
    engine::ops::require_same_device("router_attention", queries, {&keys});
    const Device device = queries.device();
    Tensor attention = Tensor::empty({shape.classes, shape.experts}, DType::float32, device);
    CNPD_RUN(device, router_attention, shape, queries.data<float>(), keys.data<float>(),
             attention.data<float>());
    if (!engine::should_record({&queries, &keys})) return attention;
    engine::record("router_attention", {&queries, &keys}, attention,
                   [=, queries = queries.detach(), keys = keys.detach(),
                    attention = attention.detach()](const Tensor& dattention, GradientSink& sink) {
                       Tensor dqueries = empty_like(queries), dkeys = empty_like(keys);
                       CNPD_RUN(device, router_attention_backward, shape, queries.data<float>(),
                                keys.data<float>(), attention.data<float>(),
                                dattention.data<float>(), dqueries.data<float>(),
                                dkeys.data<float>());
                       if (sink.wants(0)) sink.give(0, dqueries);
                       if (sink.wants(1)) sink.give(1, dkeys);
                   });
    return attention;
}

Tensor mix_experts(const Tensor& attention, const Tensor& experts) {
    engine::ops::require_rank("mix_experts", "attention", attention, 2);
    CNPD_CHECK_SHAPE(experts.defined() && experts.shape().rank() >= 2 &&
                         experts.shape()[0] == attention.shape()[1],
                     "mix_experts: one column of attention for each expert");
    engine::ops::require_same_device("mix_experts", attention, {&experts});
    const Device device = attention.device();
    const std::int64_t count = experts.shape()[0];
    const kernels::MixtureShape shape{
        .classes = attention.shape()[0],
        .experts = count,
        .values = experts.elements() / std::max<std::int64_t>(count, 1)};
    std::vector<std::int64_t> extents = experts.shape().extents();
    extents[0] = shape.classes;
    Tensor mixed = Tensor::empty(Shape(extents), DType::float32, device);
    CNPD_RUN(device, mix_experts, shape, attention.data<float>(), experts.data<float>(),
             mixed.data<float>());
    if (!engine::should_record({&attention, &experts})) return mixed;
    engine::record("mix_experts", {&attention, &experts}, mixed,
                   [=, attention = attention.detach(), experts = experts.detach()](
                       const Tensor& dmixed, GradientSink& sink) {
                       if (sink.wants(0)) {
                           Tensor dattention = empty_like(attention);
                           CNPD_RUN(device, mix_experts_backward_attention, shape,
                                    experts.data<float>(), dmixed.data<float>(),
                                    dattention.data<float>());
                           sink.give(0, dattention);
                       }
                       if (sink.wants(1)) {
                           Tensor dexperts = empty_like(experts);
                           CNPD_RUN(device, mix_experts_backward, shape, attention.data<float>(),
                                    dmixed.data<float>(), dexperts.data<float>());
                           sink.give(1, dexperts);
                       }
                   });
    return mixed;
}

}  // namespace cnpd::ops
