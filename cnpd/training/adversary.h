// The adversary makes adversarial examples from a batch of clean images, with a few PGD steps
// through a frozen victim and optionally through the defended model. They replace the unknown
// trigger in the training of a defense.
//
// Sources: PGD, arXiv 1706.06083; as the inner maximisation of NPD, arXiv 2306.16697, and of CNPD,
// arXiv 2502.18520.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cnpd/ops/adversarial.h"
#include "cnpd/ops/polarizer.h"
#include "cnpd/settings/names.h"
#include "datasets/batches.h"
#include "models/classifier.h"

namespace cnpd::training {

// The loss that the adversarial examples descend: the victim's, that of the defended model with the
// target's labels, or the sum of both. Examples made against the victim alone soon stop fooling the
// defended model, while a real trigger may still fool it.
enum class PgdThrough { plain, composite, both };

// The target class of an image's adversarial example.
enum class Strategy {
    random,    // uniform over the other classes
    second,    // the defended model's most likely other class
    target,    // its backdoor label: an oracle
    wrong,     // its backdoor label under another target: an oracle
    given,     // push_to for all images: a class that the defender suspects
    untarget,  // none: away from its own class; the class it reaches becomes the target in the loss
};

struct AdversarySettings {
    std::int64_t steps = 3;
    ops::PgdOptions pgd{};  // complete() replaces a step of 0
    PgdThrough through = PgdThrough::both;
    Strategy strategy = Strategy::random;
    std::int64_t push_to = -1;  // given: the class
    // For target, wrong and given: the target for each class. Images whose target is their own
    // class are masked.
    std::vector<std::int32_t> target_of_class{};
    double stop_share = 0.6;  // no more steps once more than this share is fooled
};

// The inner loop as NPD published it: two steps along the gradient's sign, against the victim
// alone. Half the cost of the default.
void use_published_inner_loop(AdversarySettings& settings);

// Derives the step size from the other settings if it is 0.
void complete(AdversarySettings& settings);

// The examples for a batch of N images.
struct AdversarialBatch {
    models::Cut clean, adversarial;  // the victim's state at the insertion point for both
    engine::Tensor pixels;           // [N,H,W,C] in [0,1], of the adversarial examples
    ops::Attack attack;
    ops::Routes predicted, route;  // attack.predicted and attack.route, which select polarizers
};

class Adversary {
  public:
    // Logits [N,classes] of the defended model, from a batch's cut at the insertion point. The
    // routes select the polarizer: an example's target, 0 for an example without a target, and the
    // victim's prediction for clean images and with untarget. Recorded on the tape if gradients are
    // enabled.
    using Defended = std::function<engine::Tensor(const models::Cut&, const ops::Routes&)>;

    // The victim must be frozen, and outlive the adversary. `normalisation` is that of the victim's
    // input. `seed` determines the random classes. Without `defended`, examples can only be made
    // through the victim (PgdThrough::plain), and Strategy::second uses the victim's logits. Throws
    // Error for settings that do not fit each other or the victim.
    Adversary(const models::Classifier& victim, std::string insertion_point,
              ops::Normalisation normalisation, AdversarySettings settings, std::uint64_t seed,
              Defended defended = {});

    // The `aim` argument of attack() for these images, int32 [indices], on the images' device: the
    // target class, or -1 for a masked image; for second and untarget, whose targets depend on the
    // logits, the image's own class. Random targets differ between epochs and do not depend on the
    // order of the images.
    engine::Tensor aims(const datasets::BatchSource& images, std::span<const std::int32_t> indices,
                        std::uint64_t epoch) const;

    // pixels [N,H,W,C] in [0,1], not normalised; aim [N] as above. Copies nothing between host and
    // device, so that it can be part of a recorded step.
    AdversarialBatch attack(const engine::Tensor& pixels, const engine::Tensor& aim) const;

    // The victim's input, from pixels in [0,1], in the type of the victim's activations.
    engine::Tensor normalise(const engine::Tensor& pixels) const;

  private:
    engine::Tensor suffix(const models::Cut& cut) const;
    ops::Attack start(const models::Cut& clean, const engine::Tensor& victim_logits,
                      const engine::Tensor& aim, engine::Tensor& push_to) const;

    const models::Classifier& victim_;
    std::string insertion_point_;
    ops::Normalisation normalisation_;
    engine::Tensor shift_;  // -mean * inverse_std
    AdversarySettings settings_;
    std::uint64_t seed_;
    Defended defended_;
};

}  // namespace cnpd::training

template <>
struct cnpd::settings::Names<cnpd::training::PgdThrough> {
    using Value = training::PgdThrough;
    static constexpr std::pair<Value, const char*> all[] = {
        {Value::plain, "plain"}, {Value::composite, "composite"}, {Value::both, "both"}};
};

template <>
struct cnpd::settings::Names<cnpd::training::Strategy> {
    using Value = training::Strategy;
    static constexpr std::pair<Value, const char*> all[] = {
        {Value::random, "random"}, {Value::second, "second"}, {Value::target, "target"},
        {Value::wrong, "wrong"},   {Value::given, "given"},   {Value::untarget, "untarget"}};
};
