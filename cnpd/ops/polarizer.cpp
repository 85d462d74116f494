#include "cnpd/ops/polarizer.h"

#include <algorithm>
#include <utility>

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/ops/check.h"
#include "kernels/polarizer/batch_statistics.h"
#include "kernels/polarizer/group_layout.h"
#include "kernels/polarizer/polarizer.h"
#include "kernels/top_classes/top_classes.h"

namespace cnpd::ops {

using engine::Device;
using engine::DType;
using engine::GradientSink;
using engine::Shape;

struct Routes::Groups {
    Tensor words;  // undefined: not sorted yet
    kernels::PolarizerShape shape;
};

Routes::Routes(Tensor labels) : labels_(std::move(labels)), groups_(std::make_shared<Groups>()) {}

kernels::PolarizerSamples Routes::samples(const kernels::PolarizerShape& shape) const {
    if (!labels_.defined()) return {};
    const std::int32_t* const labels = labels_.data<std::int32_t>();
    const Device device = labels_.device();
    if (device.backend == engine::Backend::cpu || shape.classes == 1) return {.labels = labels};
    const auto same = [&](std::int64_t kernels::PolarizerShape::*size) {
        return groups_->shape.*size == shape.*size;
    };
    if (!groups_->words.defined() || !same(&kernels::PolarizerShape::positions) ||
        !same(&kernels::PolarizerShape::classes)) {
        groups_->shape = shape;
        groups_->words = Tensor::empty({kernels::group_words(shape)}, DType::int32, device);
        CNPD_RUN_ON_GPU(device, group_samples, shape, labels, groups_->words.data<std::int32_t>());
    }
    return {.labels = labels, .groups = std::as_const(groups_->words).data<std::int32_t>()};
}

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

template <typename T>
kernels::PolarizerMaps<T> pointers(const AffineMaps& maps) {
    return {.a = maps.a.data<T>(),
            .b = maps.b.defined() ? maps.b.data<float>() : nullptr,
            .transposed = maps.transposed.defined() ? maps.transposed.data<T>() : nullptr};
}

AffineMaps detached(const AffineMaps& maps) {
    return {.a = maps.a.detach(), .b = maps.b.detach(), .transposed = maps.transposed};
}

kernels::PolarizerShape shape_of(const Tensor& z, const Tensor& a, const Tensor& b) {
    engine::ops::require_rank("polarizer", "z", z, 4);
    engine::ops::require_rank("polarizer", "maps.b", b, 2);
    const std::int64_t n = z.shape()[0], channels = z.shape()[3], classes = b.shape()[0];
    engine::ops::require_shape("polarizer", "maps.a", a, {classes, channels, channels});
    engine::ops::require_shape("polarizer", "maps.b", b, {classes, channels});
    engine::ops::require_same_device("polarizer", z, {&a, &b});
    return {
        .n = n, .positions = z.shape()[1] * z.shape()[2], .channels = channels, .classes = classes};
}

kernels::PolarizerShape shape_of(const Tensor& z, const AffineMaps& maps) {
    const kernels::PolarizerShape shape = shape_of(z, maps.a, maps.b);
    CNPD_CHECK_SHAPE(maps.a.dtype() == z.dtype(),
                     "polarizer: the maps have another type than the features");
    return shape;
}

void require_labels(const kernels::PolarizerShape& shape, const Tensor& z, const Routes& routes) {
    const Tensor& labels = routes.labels();
    CNPD_CHECK_SHAPE(labels.defined() ? labels.elements() == shape.n : shape.classes == 1,
                     "polarizer: one label for each sample");
    engine::ops::require_same_device("polarizer", z, {&labels});
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

void fold(const PolarizerParameters& p, AffineMaps& to) {
    CNPD_RUN_AS(to.a, polarizer_fold, p.weight.shape()[0], p.weight.shape()[1], pointers(p),
                to.a.data<T>(), to.transposed.defined() ? to.transposed.data<T>() : nullptr,
                to.b.data<float>());
}

// The weights alone, without a batch norm.
AffineMaps maps_of(const Tensor& weight, DType activations) {
    const Device device = weight.device();
    if (device.backend == engine::Backend::cpu)
        return {.a = weight.detach(), .b = {}, .transposed = {}};
    AffineMaps maps = empty_maps(weight.shape(), activations, device);
    const Shape vectors = maps.b.shape();
    const Tensor one = Tensor::full(vectors, 1, device), zero = Tensor::full(vectors, 0, device);
    fold({.weight = weight, .gamma = one, .beta = zero, .mean = zero, .variance = one, .eps = 0},
         maps);
    return maps;
}

}  // namespace

AffineMaps empty_maps(const Shape& shape, DType activations, Device device) {
    AffineMaps maps{.a = Tensor::empty(shape, activations, device),
                    .b = Tensor::empty({shape[0], shape[1]}, DType::float32, device),
                    .transposed = {}};
    if (device.backend != engine::Backend::cpu && engine::gradients_enabled())
        maps.transposed = Tensor::empty(shape, activations, device);
    return maps;
}

AffineMaps fold_polarizer(const PolarizerParameters& p, DType activations) {
    require_parameters(p);
    const std::int64_t maps = p.weight.shape()[0], channels = p.weight.shape()[1];
    const Device device = p.weight.device();
    AffineMaps folded = empty_maps(p.weight.shape(), activations, device);
    fold(p, folded);
    if (engine::should_record({&p.weight, &p.gamma}))
        engine::record("fold_polarizer", {&p.weight, &p.gamma}, folded.a,
                       [=, p = detached(p)](const Tensor& da, GradientSink& sink) {
                           Tensor dweight = engine::ops::empty_like(p.weight),
                                  dgamma = engine::ops::empty_like(p.gamma);
                           CNPD_RUN(device, polarizer_fold_backward, maps, channels, pointers(p),
                                    da.data<float>(), dweight.data<float>(), dgamma.data<float>());
                           sink.give(0, dweight);
                           sink.give(1, dgamma);
                       });
    if (engine::should_record({&p.gamma, &p.beta}))
        engine::record("fold_polarizer", {&p.gamma, &p.beta}, folded.b,
                       [=, p = detached(p)](const Tensor& db, GradientSink& sink) {
                           if (sink.wants(0)) {
                               Tensor dgamma = engine::ops::empty_like(p.gamma);
                               CNPD_RUN(device, polarizer_shift_backward, db.elements(),
                                        pointers(p), db.data<float>(), dgamma.data<float>());
                               sink.give(0, dgamma);
                           }
                           sink.give(1, db);
                       });
    return folded;
}

Tensor polarize(const Tensor& z, const Routes& routes, const AffineMaps& maps) {
    const kernels::PolarizerShape shape = shape_of(z, maps);
    require_labels(shape, z, routes);
    Tensor out = engine::ops::empty_like(z);
    CNPD_RUN_AS(z, polarizer_forward, shape, z.data<T>(), routes.samples(shape), pointers<T>(maps),
                out.data<T>());
    if (!engine::should_record({&z, &maps.a, &maps.b})) return out;

    const bool trains = engine::should_record({&maps.a, &maps.b});
    engine::record("polarize", {&z, &maps.a, &maps.b}, out,
                   [=, z = trains ? z.detach() : Tensor(), maps = detached(maps)](
                       const Tensor& dout, GradientSink& sink) {
                       const kernels::PolarizerSamples samples = routes.samples(shape);
                       if (sink.wants(0)) {
                           Tensor dz = engine::ops::empty_like(dout);
                           CNPD_RUN_AS(dout, polarizer_dgrad, shape, dout.data<T>(), samples,
                                       pointers<T>(maps), dz.data<T>());
                           sink.give(0, dz);
                       }
                       if (!sink.wants(1) && !sink.wants(2)) return;
                       Tensor da = Tensor::empty(maps.a.shape(), DType::float32, dout.device());
                       Tensor db = engine::ops::empty_like(maps.b);
                       CNPD_RUN_AS(dout, polarizer_wgrad, shape, z.data<T>(), dout.data<T>(),
                                   samples, da.data<float>(),
                                   sink.wants(2) ? db.data<float>() : nullptr);
                       sink.give(1, da);
                       sink.give(2, db);
                   });
    return out;
}

Tensor polarize_with_batch_statistics(const Tensor& z, const Routes& routes,
                                      const PolarizerParameters& p, float momentum) {
    require_parameters(p);
    const kernels::PolarizerShape shape = shape_of(z, p.weight, p.gamma);
    require_labels(shape, z, routes);
    const AffineMaps weight = maps_of(p.weight, z.dtype());
    Tensor running_mean = p.mean, running_variance = p.variance;  // handles
    Tensor u = engine::ops::empty_like(z), out = engine::ops::empty_like(z);
    Tensor mean = engine::ops::empty_like(p.gamma), inv_std = engine::ops::empty_like(p.gamma);
    CNPD_RUN_AS(z, polarizer_batch_forward, shape, z.data<T>(), routes.samples(shape),
                weight.a.data<T>(),
                (kernels::PolarizerBatchNorm{.gamma = p.gamma.data<float>(),
                                             .beta = p.beta.data<float>(),
                                             .running_mean = running_mean.data<float>(),
                                             .running_variance = running_variance.data<float>(),
                                             .eps = p.eps,
                                             .momentum = momentum}),
                u.data<T>(), mean.data<float>(), inv_std.data<float>(), out.data<T>());
    if (!engine::should_record({&z, &p.weight, &p.gamma, &p.beta})) return out;

    engine::record(
        "polarize_with_batch_statistics", {&z, &p.weight, &p.gamma, &p.beta}, out,
        [=, z = z.detach(), gamma = p.gamma.detach()](const Tensor& dout, GradientSink& sink) {
            Tensor dgamma = engine::ops::empty_like(gamma), dbeta = engine::ops::empty_like(gamma);
            Tensor dz, dweight;
            if (sink.wants(0)) dz = engine::ops::empty_like(dout);
            if (sink.wants(1))
                dweight = Tensor::empty(weight.a.shape(), DType::float32, dout.device());
            CNPD_RUN_AS(dout, polarizer_batch_backward, shape, dout.data<T>(),
                        routes.samples(shape),
                        (kernels::PolarizerBatch<T>{.z = z.data<T>(),
                                                    .u = u.data<T>(),
                                                    .mean = mean.data<float>(),
                                                    .inv_std = inv_std.data<float>(),
                                                    .gamma = gamma.data<float>(),
                                                    .weight = pointers<T>(weight)}),
                        (kernels::PolarizerBatchGradients<T>{
                            .dz = dz.defined() ? dz.data<T>() : nullptr,
                            .dweight = dweight.defined() ? dweight.data<float>() : nullptr,
                            .dgamma = dgamma.data<float>(),
                            .dbeta = dbeta.data<float>()}));
            sink.give(0, dz);
            sink.give(1, dweight);
            sink.give(2, dgamma);
            sink.give(3, dbeta);
        });
    return out;
}

TopClasses top_classes(const Tensor& logits, std::int64_t k) {
    engine::ops::require_rank("top_classes", "logits", logits, 2);
    const std::int64_t n = logits.shape()[0], classes = logits.shape()[1];
    k = std::clamp<std::int64_t>(k, 1, classes);
    const Device device = logits.device();
    TopClasses top{.labels = Tensor::empty({k, n}, DType::int32, device),
                   .weights = Tensor::empty({k, n}, DType::float32, device)};
    CNPD_RUN(device, top_classes, logits.data<float>(), n, classes, k,
             top.labels.data<std::int32_t>(), top.weights.data<float>());
    return top;
}

Tensor polarize_mixture(const Tensor& z, const TopClasses& terms, const AffineMaps& maps) {
    const kernels::PolarizerShape shape = shape_of(z, maps);
    engine::ops::require_rank("polarizer", "labels", terms.labels, 2);
    const std::int64_t count = terms.labels.shape()[0];
    engine::ops::require_shape("polarizer", "labels", terms.labels, {count, shape.n});
    engine::ops::require_shape("polarizer", "weights", terms.weights, {count, shape.n});
    engine::ops::require_same_device("polarizer", z, {&terms.labels, &terms.weights});
    const Routes most_likely(terms.labels.rows(0, 1));
    Tensor out = engine::ops::empty_like(z);
    CNPD_RUN_AS(z, polarizer_mixture, shape, z.data<T>(),
                (kernels::PolarizerMixture{.terms = count,
                                           .labels = terms.labels.data<std::int32_t>(),
                                           .weights = terms.weights.data<float>(),
                                           .first = most_likely.samples(shape)}),
                pointers<T>(maps), out.data<T>());
    return out;
}

}  // namespace cnpd::ops
