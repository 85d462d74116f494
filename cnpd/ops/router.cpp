#include "cnpd/ops/router.h"

#include <algorithm>
#include <vector>

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops/check.h"
#include "kernels/router/routed_maps.h"
#include "kernels/router/router.h"

namespace cnpd::ops {

using engine::Device;
using engine::DType;
using engine::GradientSink;
using engine::Shape;
using engine::ops::empty_like;

namespace {

kernels::RoutedShape shape_of(const RouterParameters& p) {
    engine::ops::require_rank("route_maps", "queries", p.queries, 2);
    engine::ops::require_rank("route_maps", "keys", p.keys, 2);
    engine::ops::require_rank("route_maps", "experts", p.experts, 3);
    const kernels::RoutedShape shape{.classes = p.queries.shape()[0],
                                     .experts = p.keys.shape()[0],
                                     .width = p.queries.shape()[1],
                                     .channels = p.experts.shape()[1]};
    engine::ops::require_shape("route_maps", "keys", p.keys, {shape.experts, shape.width});
    engine::ops::require_shape("route_maps", "experts", p.experts,
                               {shape.experts, shape.channels, shape.channels});
    CNPD_CHECK_SHAPE(shape.experts > 0 && shape.width > 0, "route_maps: no experts");
    for (const Tensor* vector : {&p.gamma, &p.beta, &p.mean, &p.variance})
        engine::ops::require_shape("route_maps", "a parameter", *vector, {shape.channels});
    engine::ops::require_same_device(
        "route_maps", p.queries, {&p.keys, &p.experts, &p.gamma, &p.beta, &p.mean, &p.variance});
    return shape;
}

kernels::RouterParameters pointers(const RouterParameters& p) {
    return {.queries = p.queries.data<float>(),
            .keys = p.keys.data<float>(),
            .experts = p.experts.data<float>(),
            .gamma = p.gamma.data<float>(),
            .beta = p.beta.data<float>(),
            .mean = p.mean.data<float>(),
            .variance = p.variance.data<float>(),
            .eps = p.eps};
}

RouterParameters detached(const RouterParameters& p) {
    return {.queries = p.queries.detach(),
            .keys = p.keys.detach(),
            .experts = p.experts.detach(),
            .gamma = p.gamma.detach(),
            .beta = p.beta.detach(),
            .mean = p.mean.detach(),
            .variance = p.variance.detach(),
            .eps = p.eps};
}

}  // namespace

RoutedMaps route_maps(const RouterParameters& p, DType activations) {
    const kernels::RoutedShape shape = shape_of(p);
    const Device device = p.queries.device();
    RoutedMaps routed{
        .attention = Tensor::empty({shape.classes, shape.experts}, DType::float32, device),
        .maps = empty_maps({shape.classes, shape.channels, shape.channels}, activations, device)};
    AffineMaps& maps = routed.maps;
    CNPD_RUN_AS(maps.a, routed_maps, shape, pointers(p), routed.attention.data<float>(),
                maps.a.data<T>(), maps.transposed.defined() ? maps.transposed.data<T>() : nullptr,
                maps.b.data<float>());
    if (engine::should_record({&p.queries, &p.keys, &p.experts, &p.gamma}))
        engine::record("route_maps", {&p.queries, &p.keys, &p.experts, &p.gamma}, maps.a,
                       [=, p = detached(p), attention = routed.attention](const Tensor& da,
                                                                          GradientSink& sink) {
                           Tensor dqueries = empty_like(p.queries), dkeys = empty_like(p.keys),
                                  dexperts = empty_like(p.experts), dgamma = empty_like(p.gamma);
                           CNPD_RUN(device, routed_maps_backward, shape, pointers(p),
                                    attention.data<float>(), da.data<float>(),
                                    (kernels::RouterGradients{.queries = dqueries.data<float>(),
                                                              .keys = dkeys.data<float>(),
                                                              .experts = dexperts.data<float>(),
                                                              .gamma = dgamma.data<float>()}));
                           sink.give(0, dqueries);
                           sink.give(1, dkeys);
                           sink.give(2, dexperts);
                           sink.give(3, dgamma);
                       });
    if (engine::should_record({&p.gamma, &p.beta}))
        engine::record("route_maps", {&p.gamma, &p.beta}, maps.b,
                       [=, p = detached(p)](const Tensor& db, GradientSink& sink) {
                           Tensor dgamma = empty_like(p.gamma), dbeta = empty_like(p.beta);
                           CNPD_RUN(device, routed_shift_backward, shape.classes, shape.channels,
                                    pointers(p), db.data<float>(), dgamma.data<float>(),
                                    dbeta.data<float>());
                           sink.give(0, dgamma);
                           sink.give(1, dbeta);
                       });
    return routed;
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
