#include "cnpd/ops/polarizer.h"

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops/check.h"
#include "kernels/polarizer/batch_statistics.h"
#include "kernels/polarizer/polarizer.h"

namespace cnpd::ops {

using engine::Device;
using engine::DType;
using engine::GradientSink;
using engine::Shape;

namespace {

kernels::PolarizerParameters pointers(const PolarizerParameters& p) {
    return {.weight = p.weight.data<float>(),
            .gamma = p.gamma.data<float>(),
            .beta = p.beta.data<float>(),
            .mean = p.mean.data<float>(),
            .variance = p.variance.data<float>(),
            .eps = p.eps};
}

PolarizerParameters detached(const PolarizerParameters& p) {
    return {.weight = p.weight.detach(),
            .gamma = p.gamma.detach(),
            .beta = p.beta.detach(),
            .mean = p.mean.detach(),
            .variance = p.variance.detach(),
            .eps = p.eps};
}

kernels::PolarizerShape shape_of(const Tensor& z, const AffineMaps& maps) {
    engine::ops::require_rank("polarizer", "z", z, 4);
    engine::ops::require_rank("polarizer", "maps.b", maps.b, 2);
    const std::int64_t n = z.shape()[0], channels = z.shape()[3], classes = maps.b.shape()[0];
    engine::ops::require_shape("polarizer", "maps.a", maps.a, {classes, channels, channels});
    engine::ops::require_shape("polarizer", "maps.b", maps.b, {classes, channels});
    engine::ops::require_same_device("polarizer", z, {&maps.a, &maps.b});
    return {
        .n = n, .positions = z.shape()[1] * z.shape()[2], .channels = channels, .classes = classes};
}

const std::int32_t* label_pointer(const Tensor& labels) {
    return labels.defined() ? labels.data<std::int32_t>() : nullptr;
}

void require_labels(const kernels::PolarizerShape& shape, const Tensor& labels) {
    CNPD_CHECK_SHAPE(labels.defined() ? labels.elements() == shape.n : shape.classes == 1,
                     "polarizer: one label for each sample");
}

void require_parameters(const PolarizerParameters& p) {
    engine::ops::require_rank("polarizer", "weight", p.weight, 3);
    const std::int64_t maps = p.weight.shape()[0], channels = p.weight.shape()[1];
    engine::ops::require_shape("polarizer", "weight", p.weight, {maps, channels, channels});
    for (const Tensor* vector : {&p.gamma, &p.beta, &p.mean, &p.variance})
        engine::ops::require_shape("polarizer", "a parameter", *vector, {maps, channels});
    engine::ops::require_same_device("polarizer", p.weight,
                                     {&p.gamma, &p.beta, &p.mean, &p.variance});
}

}  // namespace

AffineMaps fold_polarizer(const PolarizerParameters& p) {
    require_parameters(p);
    const std::int64_t maps = p.weight.shape()[0], channels = p.weight.shape()[1];
    const Device device = p.weight.device();
    AffineMaps folded{.a = Tensor::empty({maps, channels, channels}, DType::float32, device),
                      .b = Tensor::empty({maps, channels}, DType::float32, device)};
    CNPD_RUN(device, polarizer_fold, maps, channels, pointers(p), folded.a.data<float>(),
             folded.b.data<float>());
    return folded;
}

Tensor polarize(const Tensor& z, const Tensor& labels, const PolarizerParameters& p,
                const AffineMaps& maps) {
    const kernels::PolarizerShape shape = shape_of(z, maps);
    require_labels(shape, labels);
    engine::ops::require_same_device("polarizer", z, {&labels, &p.weight, &p.gamma, &p.beta});
    const Device device = z.device();
    Tensor out = engine::ops::empty_like(z);
    CNPD_RUN_AS(z, polarizer_forward, shape, z.data<T>(), label_pointer(labels), nullptr, false,
                maps.a.data<float>(), maps.b.data<float>(), out.data<T>());
    if (!engine::should_record({&z, &p.weight, &p.gamma, &p.beta})) return out;

    const bool trains = engine::should_record({&p.weight, &p.gamma, &p.beta});
    engine::record("polarize", {&z, &p.weight, &p.gamma, &p.beta}, out,
                   [=, z = trains ? z.detach() : Tensor(), parameters = detached(p)](
                       const Tensor& dout, GradientSink& sink) {
                       if (sink.wants(0)) {
                           Tensor dz = engine::ops::empty_like(dout);
                           CNPD_RUN_AS(dout, polarizer_dgrad, shape, dout.data<T>(),
                                       label_pointer(labels), maps.a.data<float>(), dz.data<T>());
                           sink.give(0, dz);
                       }
                       if (!sink.wants(1) && !sink.wants(2) && !sink.wants(3)) return;
                       Tensor da = Tensor::empty(maps.a.shape(), DType::float32, device);
                       Tensor db = Tensor::empty(maps.b.shape(), DType::float32, device);
                       CNPD_RUN_AS(dout, polarizer_wgrad, shape, z.data<T>(), dout.data<T>(),
                                   label_pointer(labels), da.data<float>(), db.data<float>());
                       Tensor dweight = Tensor::empty(da.shape(), DType::float32, device);
                       Tensor dgamma = Tensor::empty(db.shape(), DType::float32, device);
                       Tensor dbeta = Tensor::empty(db.shape(), DType::float32, device);
                       CNPD_RUN(device, polarizer_fold_backward, shape.classes, shape.channels,
                                pointers(parameters), da.data<float>(), db.data<float>(),
                                dweight.data<float>(), dgamma.data<float>(), dbeta.data<float>());
                       sink.give(1, dweight);
                       sink.give(2, dgamma);
                       sink.give(3, dbeta);
                   });
    return out;
}

Tensor polarize_with_batch_statistics(const Tensor& z, const Tensor& labels,
                                      const PolarizerParameters& p, float momentum) {
    require_parameters(p);
    const kernels::PolarizerShape shape = shape_of(z, {.a = p.weight, .b = p.gamma});
    require_labels(shape, labels);
    engine::ops::require_same_device("polarizer", z, {&labels});
    Tensor running_mean = p.mean, running_variance = p.variance;  // handles
    Tensor u = engine::ops::empty_like(z), out = engine::ops::empty_like(z);
    Tensor mean = engine::ops::empty_like(p.gamma), inv_std = engine::ops::empty_like(p.gamma);
    CNPD_RUN_AS(z, polarizer_batch_forward, shape, z.data<T>(), label_pointer(labels),
                (kernels::PolarizerBatchNorm{.weight = p.weight.data<float>(),
                                             .gamma = p.gamma.data<float>(),
                                             .beta = p.beta.data<float>(),
                                             .running_mean = running_mean.data<float>(),
                                             .running_variance = running_variance.data<float>(),
                                             .eps = p.eps,
                                             .momentum = momentum}),
                u.data<T>(), mean.data<float>(), inv_std.data<float>(), out.data<T>());
    if (!engine::should_record({&z, &p.weight, &p.gamma, &p.beta})) return out;

    engine::record(
        "polarize_with_batch_statistics", {&z, &p.weight, &p.gamma, &p.beta}, out,
        [=, z = z.detach(), weight = p.weight.detach(), gamma = p.gamma.detach()](
            const Tensor& dout, GradientSink& sink) {
            Tensor du = engine::ops::empty_like(dout);
            Tensor dgamma = engine::ops::empty_like(gamma), dbeta = engine::ops::empty_like(gamma);
            CNPD_RUN_AS(dout, polarizer_batch_backward, shape, dout.data<T>(),
                        label_pointer(labels),
                        (kernels::PolarizerBatch<T>{.u = u.data<T>(),
                                                    .mean = mean.data<float>(),
                                                    .inv_std = inv_std.data<float>(),
                                                    .gamma = gamma.data<float>()}),
                        du.data<T>(), dgamma.data<float>(), dbeta.data<float>());
            if (sink.wants(0)) {
                Tensor dz = engine::ops::empty_like(dout);
                CNPD_RUN_AS(du, polarizer_dgrad, shape, du.data<T>(), label_pointer(labels),
                            weight.data<float>(), dz.data<T>());
                sink.give(0, dz);
            }
            if (sink.wants(1)) {
                // The sum of du, also computed by wgrad, is 0 up to rounding.
                Tensor dweight = engine::ops::empty_like(weight);
                Tensor unused = engine::ops::empty_like(gamma);
                CNPD_RUN_AS(z, polarizer_wgrad, shape, z.data<T>(), du.data<T>(),
                            label_pointer(labels), dweight.data<float>(), unused.data<float>());
                sink.give(1, dweight);
            }
            if (sink.wants(2)) sink.give(2, dgamma);
            if (sink.wants(3)) sink.give(3, dbeta);
        });
    return out;
}

Tensor apply_maps(const Tensor& z, const Tensor& labels, const AffineMaps& maps) {
    const kernels::PolarizerShape shape = shape_of(z, maps);
    require_labels(shape, labels);
    engine::ops::require_same_device("polarizer", z, {&labels});
    Tensor out = engine::ops::empty_like(z);
    CNPD_RUN_AS(z, polarizer_forward, shape, z.data<T>(), label_pointer(labels), nullptr, false,
                maps.a.data<float>(), maps.b.data<float>(), out.data<T>());
    return out;
}

Tensor polarize_mixture(const Tensor& z, const Tensor& labels, const Tensor& weights,
                        const AffineMaps& maps) {
    const kernels::PolarizerShape shape = shape_of(z, maps);
    engine::ops::require_rank("polarizer", "labels", labels, 2);
    const std::int64_t terms = labels.shape()[0];
    engine::ops::require_shape("polarizer", "labels", labels, {terms, shape.n});
    engine::ops::require_shape("polarizer", "weights", weights, {terms, shape.n});
    engine::ops::require_same_device("polarizer", z, {&labels, &weights});
    Tensor out = engine::ops::empty_like(z);
    for (std::int64_t term = 0; term < terms; ++term) {
        const Tensor label = labels.rows(term, 1), weight = weights.rows(term, 1);
        CNPD_RUN_AS(z, polarizer_forward, shape, z.data<T>(), label.data<std::int32_t>(),
                    weight.data<float>(), term > 0, maps.a.data<float>(), maps.b.data<float>(),
                    out.data<T>());
    }
    return out;
}

}  // namespace cnpd::ops
