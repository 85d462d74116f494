#include "cnpd/training/adversary.h"

#include <utility>

#include "cnpd/streams.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "kernels/common/error.h"
#include "kernels/common/philox.h"

namespace cnpd::training {

using engine::Tensor;
using models::Cut;

namespace {

Tensor negative_product(const Tensor& a, const Tensor& b) {
    std::vector<float> x = a.to_host<float>();
    const std::vector<float> y = b.to_host<float>();
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= -y[i];
    return Tensor::from(x, a.shape(), a.device());
}

// True for strategies with a fixed target class for each class.
bool names_targets(Strategy strategy) {
    return strategy == Strategy::target || strategy == Strategy::wrong ||
           strategy == Strategy::given;
}

}  // namespace

void use_published_inner_loop(AdversarySettings& settings) {
    settings.steps = 2;
    settings.pgd.gradient = ops::PgdGradient::sign;
    settings.pgd.step = 0.1f;  // in pixels of [0,1]
    settings.through = PgdThrough::plain;
}

void complete(AdversarySettings& settings) {
    ops::PgdOptions& pgd = settings.pgd;
    if (pgd.step > 0) return;
    pgd.step = pgd.gradient == ops::PgdGradient::normalised
                   ? pgd.radius / static_cast<float>(settings.steps)
                   : 0.1f;
}

Adversary::Adversary(const models::Classifier& victim, std::string insertion_point,
                     ops::Normalisation normalisation, AdversarySettings settings,
                     std::uint64_t seed, Defended defended)
    : victim_(victim),
      insertion_point_(std::move(insertion_point)),
      normalisation_(std::move(normalisation)),
      shift_(negative_product(normalisation_.mean, normalisation_.inverse_std)),
      settings_(std::move(settings)),
      seed_(seed),
      defended_(std::move(defended)) {
    CNPD_CHECK(settings_.steps >= 1, "adversary: at least one step");
    CNPD_CHECK(settings_.through == PgdThrough::plain || defended_,
               "adversary: without a defended model only the victim can be attacked");
    const auto named = static_cast<std::int64_t>(settings_.target_of_class.size());
    CNPD_CHECK(named == (names_targets(settings_.strategy) ? victim.classes() : 0),
               "adversary: target_of_class needs one entry for each class with the strategies "
               "target, wrong and given, and must be empty with others");
}

Tensor Adversary::normalise(const Tensor& pixels) const {
    return engine::ops::cast(
        engine::ops::channel_affine(pixels, normalisation_.inverse_std, shift_),
        victim_.activations());
}

Tensor Adversary::aims(const datasets::BatchSource& images, std::span<const std::int32_t> indices,
                       std::uint64_t epoch) const {
    const auto classes = static_cast<std::uint32_t>(victim_.classes());
    std::vector<std::int32_t> drawn;
    for (const std::int32_t index : indices) {
        const std::int32_t label = images.host_labels()[index];
        switch (settings_.strategy) {
            case Strategy::random: {
                const auto draw = kernels::philox(seed_, streams::kTarget + epoch, index);
                const auto away = 1 + kernels::below_from_bits(draw.v[0], classes - 1);
                drawn.push_back(static_cast<std::int32_t>(
                    (static_cast<std::uint32_t>(label) + away) % classes));
                break;
            }
            case Strategy::target:
            case Strategy::wrong:
            case Strategy::given: {
                const std::int32_t target = settings_.target_of_class.at(label);
                drawn.push_back(target == label ? -1 : target);
                break;
            }
            case Strategy::second:
            case Strategy::untarget:
                drawn.push_back(label);
                break;
        }
    }
    return Tensor::from(drawn, {static_cast<std::int64_t>(drawn.size())}, images.device());
}

Tensor Adversary::suffix(const Cut& cut) const {
    return victim_.suffix(cut, insertion_point_);
}

// Starts the attack on a batch of clean images. Sets push_to to the classes that the gradient
// approaches or, for untarget, avoids.
ops::Attack Adversary::start(const Cut& clean, const Tensor& victim_logits, const Tensor& aim,
                             Tensor& push_to) const {
    push_to = aim;
    if (settings_.strategy == Strategy::untarget)
        return ops::start_attack(victim_logits, aim, ops::AttackDirection::away);
    if (settings_.strategy == Strategy::second) {
        const engine::NoGrad no_grad;
        const Tensor logits = !defended_ ? victim_logits.detach()
                                         : defended_({clean.z.detach(), clean.residual.detach()},
                                                     engine::ops::argmax(victim_logits));
        push_to = ops::strongest_other(logits, aim);
    }
    return ops::start_attack(victim_logits, push_to);
}

// The inner maximisation. The victim's first forward pass is also the clean one, and if the host
// sees the loop end early, its last forward pass is also that of the finished examples, so neither
// is computed twice.
AdversarialBatch Adversary::attack(const Tensor& pixels, const Tensor& aim) const {
    const bool plain = settings_.through != PgdThrough::composite;
    const bool composite = settings_.through != PgdThrough::plain;
    const bool away = settings_.strategy == Strategy::untarget;
    const bool known = !settings_.target_of_class.empty();  // then some images have no target
    ops::PgdOptions pgd = settings_.pgd;
    if (away) pgd.step = -pgd.step;

    const std::string_view point = insertion_point_;
    Tensor adversarial = pixels.clone();
    Tensor input = normalise(pixels);
    Tensor push_to;
    ops::Routes during;  // the polarizers of the examples during the loop
    AdversarialBatch batch;
    const auto finish = [&](const Cut& cut) {
        batch.adversarial = {cut.z.detach(), cut.residual.detach()};
        batch.pixels = adversarial;
        const engine::NoGrad no_grad;
        if (away) ops::aim_at_reached(suffix(batch.adversarial), batch.attack);
        batch.route = known ? during : ops::Routes(batch.attack.route);
        return batch;
    };
    for (std::int64_t step = 0; step < settings_.steps; ++step) {
        Tensor leaf = input.detach();
        leaf.set_requires_grad();
        const Cut cut = victim_.prefix(leaf, point);
        // Logits of the models whose gradient is followed.
        std::vector<Tensor> logits;
        if (plain) logits.push_back(suffix(cut));
        if (step == 0) {
            batch.clean = {cut.z.detach(), cut.residual.detach()};
            const engine::NoGrad no_grad;
            batch.attack =
                start(batch.clean, plain ? logits.front() : suffix(batch.clean), aim, push_to);
            batch.predicted = batch.attack.predicted;
            // With untarget, an image has no target yet; the victim's prediction selects its
            // polarizer.
            during = away    ? batch.predicted
                     : known ? ops::Routes(batch.attack.route)
                             : ops::Routes(push_to);
        }
        if (composite) logits.push_back(defended_(cut, during));
        const std::vector<Tensor> of_logits =
            ops::attack_gradients(logits, push_to, settings_.stop_share, batch.attack);
        if (batch.attack.seen_stopped()) return finish(cut);
        const std::vector<Tensor> gradient =
            engine::gradients(logits, of_logits, std::span(&leaf, 1));
        input = ops::pgd_step(pgd, normalisation_, pixels, gradient.front(), adversarial,
                              &batch.attack);
    }
    const engine::NoGrad no_grad;
    return finish(victim_.prefix(input, point));
}

}  // namespace cnpd::training
