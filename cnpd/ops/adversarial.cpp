#include "cnpd/ops/adversarial.h"

#include <utility>

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops/check.h"
#include "kernels/attack_loss/attack_loss.h"
#include "kernels/elementwise/elementwise.h"

namespace cnpd::ops {

using engine::Device;
using engine::DType;
using engine::GradientSink;

namespace {

constexpr std::int64_t kStateWords = sizeof(kernels::AttackState) / sizeof(std::int32_t);

kernels::AttackState* state_of(Tensor& state) {
    static_assert(sizeof(kernels::AttackState) == kStateWords * sizeof(std::int32_t));
    return reinterpret_cast<kernels::AttackState*>(state.data<std::int32_t>());
}
const kernels::AttackState* state_of(const Tensor& state) {
    return reinterpret_cast<const kernels::AttackState*>(state.data<std::int32_t>());
}

}  // namespace

bool Attack::seen_stopped() const {
    return state.device().backend == engine::Backend::cpu && state_of(state)->stopped != 0;
}

Attack start_attack(const Tensor& logits, const Tensor& push_to, AttackDirection direction) {
    engine::ops::require_rank("start_attack", "logits", logits, 2);
    const std::int64_t n = logits.shape()[0], classes = logits.shape()[1];
    engine::ops::require_shape("start_attack", "push_to", push_to, {n});
    engine::ops::require_same_device("start_attack", logits, {&push_to});
    const auto words = [&](std::int64_t count) {
        return Tensor::empty({count}, DType::int32, logits.device());
    };
    Attack attack{.predicted = words(n),
                  .target = words(n),
                  .route = words(n),
                  .state = words(kStateWords),
                  .direction = direction};
    CNPD_RUN(logits.device(), attack_start, logits.data<float>(), n, classes,
             push_to.data<std::int32_t>(), direction,
             (kernels::AttackLabels{.predicted = attack.predicted.data<std::int32_t>(),
                                    .target = attack.target.data<std::int32_t>(),
                                    .route = attack.route.data<std::int32_t>()}),
             state_of(attack.state));
    return attack;
}

std::vector<Tensor> attack_gradients(std::span<const Tensor> logits, const Tensor& push_to,
                                     double stop_share, Attack& attack) {
    CNPD_CHECK_SHAPE(logits.size() == 1 || logits.size() == 2, "attack: one model or two");
    engine::ops::require_rank("attack", "logits", logits.front(), 2);
    const std::int64_t n = logits.front().shape()[0], classes = logits.front().shape()[1];
    engine::ops::require_shape("attack", "push_to", push_to, {n});
    engine::ops::require_shape("attack", "target", attack.target, {n});
    kernels::AttackedModels models{};
    std::vector<Tensor> gradients;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        engine::ops::require_shape("attack", "logits", logits[i], {n, classes});
        engine::ops::require_same_device("attack", logits[i], {&push_to, &attack.target});
        gradients.push_back(engine::ops::empty_like(logits[i]));
        models.logits[i] = logits[i].data<float>();
        models.dlogits[i] = gradients[i].data<float>();
    }
    CNPD_RUN(push_to.device(), attack_loss, models, n, classes, push_to.data<std::int32_t>(),
             attack.target.data<std::int32_t>(), attack.direction, stop_share,
             state_of(attack.state));
    return gradients;
}

void aim_at_reached(const Tensor& logits, Attack& attack) {
    engine::ops::require_rank("aim_at_reached", "logits", logits, 2);
    const std::int64_t n = logits.shape()[0];
    engine::ops::require_shape("aim_at_reached", "attack", attack.predicted, {n});
    engine::ops::require_same_device("aim_at_reached", logits, {&attack.predicted});
    CNPD_RUN(logits.device(), attack_reached, logits.data<float>(), n, logits.shape()[1],
             std::as_const(attack.predicted).data<std::int32_t>(),
             attack.target.data<std::int32_t>(), attack.route.data<std::int32_t>());
}

Tensor strongest_other(const Tensor& logits, const Tensor& labels) {
    engine::ops::require_rank("strongest_other", "logits", logits, 2);
    const std::int64_t n = logits.shape()[0], classes = logits.shape()[1];
    engine::ops::require_shape("strongest_other", "labels", labels, {n});
    CNPD_CHECK_SHAPE(classes >= 2, "strongest_other: a single class has no other");
    engine::ops::require_same_device("strongest_other", logits, {&labels});
    Tensor others = engine::ops::empty_like(labels);
    CNPD_RUN(logits.device(), strongest_other, logits.data<float>(), n, classes,
             labels.data<std::int32_t>(), others.data<std::int32_t>());
    return others;
}

void account(const Attack& attack, Tensor sums) {
    engine::ops::require_shape("account", "sums", sums, {2});
    engine::ops::require_same_device("account", sums, {&attack.state});
    CNPD_RUN(sums.device(), attack_account, state_of(attack.state), sums.data<double>());
}

Tensor pgd_step(const PgdOptions& options, const Normalisation& normalisation, const Tensor& images,
                const Tensor& input_gradient, Tensor& adversarial, const Attack* attack) {
    engine::ops::require_rank("pgd_step", "images", images, 4);
    engine::ops::require_shape("pgd_step", "input_gradient", input_gradient, images.shape());
    engine::ops::require_shape("pgd_step", "adversarial", adversarial, images.shape());
    const std::int64_t channels = images.shape()[3];
    engine::ops::require_shape("pgd_step", "mean", normalisation.mean, {channels});
    engine::ops::require_shape("pgd_step", "inverse_std", normalisation.inverse_std, {channels});
    engine::ops::require_same_device(
        "pgd_step", images,
        {&input_gradient, &adversarial, &normalisation.mean, &normalisation.inverse_std});
    Tensor input = engine::ops::empty_like(input_gradient);
    const kernels::PgdSettings settings{
        .n = images.shape()[0],
        .pixels = images.shape()[1] * images.shape()[2],
        .channels = channels,
        .gradient = options.gradient,
        .norm = options.norm,
        .step = options.step,
        .radius = options.radius,
        .mean = normalisation.mean.data<float>(),
        .inverse_std = normalisation.inverse_std.data<float>(),
        .stopped = attack ? &state_of(attack->state)->stopped : nullptr};
    CNPD_RUN_AS(input_gradient, pgd_step, settings, images.data<float>(), input_gradient.data<T>(),
                adversarial.data<float>(), input.data<T>());
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
