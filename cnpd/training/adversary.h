// The adversary: it makes adversarial examples of a batch of clean images, with a few PGD steps
// through a frozen victim and, if wanted, through the model that defends it. They stand in for the
// trigger that a defense does not know.
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
#include "cnpd/settings/names.h"
#include "datasets/batches.h"
#include "models/classifier.h"

namespace cnpd::training {

// Whose loss the adversarial examples descend: the victim's, that of the defended model with the
// target's labels, or the sum of both. Examples made against the victim alone soon fool no defense
// any more, while a real trigger still may.
enum class PgdThrough { plain, composite, both };

// The class that an image's adversarial example is pushed to.
enum class Strategy {
    random,    // uniform over the classes other than its own
    second,    // the most likely of them, says the defended model
    target,    // what the attack makes of it: an oracle
    wrong,     // what the attack would make of it, had it another target
    given,     // the same for all, push_to: a class that the defender suspects
    untarget,  // none: away from its own class; the class that it reaches is then unlearned
};

struct AdversarySettings {
    std::int64_t steps = 3;
    ops::PgdOptions pgd{};  // a step of 0 follows from the radius: see complete()
    PgdThrough through = PgdThrough::both;
    Strategy strategy = Strategy::random;
    std::int64_t push_to = -1;  // given: the class
    // target, wrong and given: the class for each class of an image; its own masks the image.
    std::vector<std::int32_t> target_of_class{};
    double stop_share = 0.6;  // no more steps once more than this share is fooled
};

// The inner loop as NPD published it: two steps along the gradient's sign, against the victim
// alone. Half as costly as the default.
void use_published_inner_loop(AdversarySettings& settings);

// Fills in what follows from other settings: the step size, where it is 0.
void complete(AdversarySettings& settings);

// The examples made of a batch of N images.
struct AdversarialBatch {
    models::Cut clean, adversarial;  // what the victim makes of both up to the insertion point
    engine::Tensor pixels;           // [N,H,W,C] in [0,1], of the adversarial examples
    ops::Attack attack;
};

class Adversary {
  public:
    // Logits [N,classes] of the defended model, from a batch's cut at the insertion point. labels
    // (int32 [N]) are the classes that it is to take the images for: what an example is pushed to,
    // 0 for one without a target, and the victim's prediction for clean images and for examples
    // that are driven away. Recorded on the tape where gradients are on.
    using Defended =
        std::function<engine::Tensor(const models::Cut&, const engine::Tensor& labels)>;

    // The victim must be frozen, and outlive the adversary. `normalisation` is that of the victim's
    // input. The random classes follow from the seed. Without `defended` examples can only be made
    // through the victim (PgdThrough::plain), and for Strategy::second its logits count.
    // Throws Error for settings that do not fit each other or the victim.
    Adversary(const models::Classifier& victim, std::string insertion_point,
              ops::Normalisation normalisation, AdversarySettings settings, std::uint64_t seed,
              Defended defended = {});

    // What the attack of each of these images is given by, int32 [indices], on the images' device:
    // the class to push it to, -1 for an image that is left alone; or its own class, where the
    // strategy makes it a matter of the logits (second, untarget). The random ones are others in
    // each epoch, and do not depend on the order of the images.
    engine::Tensor aims(const datasets::BatchSource& images, std::span<const std::int32_t> indices,
                        std::uint64_t epoch) const;

    // pixels [N,H,W,C] in [0,1], not normalised; aim [N] as above. Copies nothing to or from the
    // host, so that it can be part of a recorded step.
    AdversarialBatch attack(const engine::Tensor& pixels, const engine::Tensor& aim) const;

    // The victim's input, from pixels in [0,1].
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
