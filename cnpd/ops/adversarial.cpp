#include "cnpd/ops/adversarial.h"

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops/check.h"
#include "kernels/elementwise/elementwise.h"

namespace cnpd::ops {

using engine::Device;
using engine::DType;
using engine::GradientSink;

Tensor pgd_step(const PgdOptions& options, const Normalisation& normalisation, const Tensor& images,
                const Tensor& input_gradient, Tensor& adversarial) {
    engine::ops::require_rank("pgd_step", "images", images, 4);
    engine::ops::require_shape("pgd_step", "input_gradient", input_gradient, images.shape());
    engine::ops::require_shape("pgd_step", "adversarial", adversarial, images.shape());
    const std::int64_t channels = images.shape()[3];
    engine::ops::require_shape("pgd_step", "mean", normalisation.mean, {channels});
    engine::ops::require_shape("pgd_step", "inverse_std", normalisation.inverse_std, {channels});
    engine::ops::require_same_device(
        "pgd_step", images,
        {&input_gradient, &adversarial, &normalisation.mean, &normalisation.inverse_std});
    Tensor input = engine::ops::empty_like(images);
    const kernels::PgdSettings settings{.n = images.shape()[0],
                                        .pixels = images.shape()[1] * images.shape()[2],
                                        .channels = channels,
                                        .gradient = options.gradient,
                                        .norm = options.norm,
                                        .step = options.step,
                                        .radius = options.radius,
                                        .mean = normalisation.mean.data<float>(),
                                        .inverse_std = normalisation.inverse_std.data<float>()};
    CNPD_RUN(images.device(), pgd_step, settings, images.data<float>(),
             input_gradient.data<float>(), adversarial.data<float>(), input.data<float>());
    return input;
}

DefenseLoss defense_loss(const Tensor& clean, const Tensor& adversarial,
                         const DefenseLossLabels& labels, const DefenseLossWeights& weights) {
    engine::ops::require_rank("defense_loss", "clean", clean, 2);
    engine::ops::require_shape("defense_loss", "adversarial", adversarial, clean.shape());
    const std::int64_t n = clean.shape()[0], classes = clean.shape()[1];
    for (const Tensor* tensor : {&labels.label, &labels.restored, &labels.target})
        engine::ops::require_shape("defense_loss", "labels", *tensor, {n});
    CNPD_CHECK_SHAPE(classes >= 2, "defense_loss: a single class has no wrong one");
    engine::ops::require_same_device(
        "defense_loss", clean, {&adversarial, &labels.label, &labels.restored, &labels.target});
    const Device device = clean.device();

    DefenseLoss result{.loss = Tensor::empty({}, DType::float32, device),
                       .terms = Tensor::empty({4}, DType::float32, device)};
    Tensor dclean = engine::ops::empty_like(clean), dadversarial = engine::ops::empty_like(clean);
    CNPD_RUN(device, defense_loss, n, classes, clean.data<float>(), adversarial.data<float>(),
             (kernels::DefenseLossLabels{.label = labels.label.data<std::int32_t>(),
                                         .restored = labels.restored.data<std::int32_t>(),
                                         .target = labels.target.data<std::int32_t>()}),
             weights, result.loss.data<float>(), result.terms.data<float>(), dclean.data<float>(),
             dadversarial.data<float>());
    if (!engine::should_record({&clean, &adversarial})) return result;
    engine::record("defense_loss", {&clean, &adversarial}, result.loss,
                   [=](const Tensor& dloss, GradientSink& sink) {
                       for (const auto& [input, gradient] :
                            {std::pair{0, dclean}, std::pair{1, dadversarial}}) {
                           Tensor scaled = engine::ops::empty_like(gradient);
                           CNPD_RUN(device, scale_by, gradient.data<float>(), gradient.elements(),
                                    dloss.data<float>(), scaled.data<float>());
                           sink.give(static_cast<std::size_t>(input), scaled);
                       }
                   });
    return result;
}

}  // namespace cnpd::ops
