#include "cnpd/defenses/polarizing/polarizing.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "cnpd/evaluation/evaluation.h"
#include "engine/autograd.h"
#include "engine/checkpoint.h"
#include "engine/ops.h"
#include "kernels/common/error.h"

namespace cnpd::defenses {

using engine::Tensor;
using training::Strategy;

namespace {

constexpr const char* kPolarizerFile = "polarizer.safetensors";

class PurifiedVictim : public Defended {
  public:
    PurifiedVictim(std::unique_ptr<polarizers::Polarizer> polarizer,
                   const models::Classifier& victim, polarizers::PurifiedOptions options)
        : polarizer_(std::move(polarizer)), model_(victim, *polarizer_, std::move(options)) {}

    using Predictor::predict;
    Features features(const Tensor& input) const override { return model_.features(input); }
    bool has_features() const override { return true; }
    evaluation::Predictions predict(const Features& features) const override {
        return model_.predict(features);
    }
    void save(const store::RunFiles& files) const override {
        engine::save_module(files.out(kPolarizerFile), *polarizer_);
    }
    std::int64_t parameters_trained() const override { return polarizer_->parameter_count(); }
    const polarizers::PurifiedModel* purified() const override { return &model_; }

  private:
    std::unique_ptr<polarizers::Polarizer> polarizer_;
    polarizers::PurifiedModel model_;
};

std::int64_t channels_at(const Victim& victim, const std::string& point) {
    const engine::NoGrad no_grad;
    const Tensor image = Tensor::zeros({1, victim.input.h, victim.input.w, victim.input.c},
                                       engine::DType::float32, victim.device);
    return victim.model.prefix(image, point).z.shape()[3];
}

polarizers::FeatureStatistics statistics_of(const models::Classifier& victim,
                                            const std::string& point,
                                            const datasets::BatchSource& images) {
    const evaluation::CachedFeatures features = evaluation::cache_features(victim, point, images);
    polarizers::FeatureStatisticsCollector collector(victim.classes(),
                                                     features.cuts.front().z.shape()[3]);
    for (std::size_t i = 0; i < features.cuts.size(); ++i)
        collector.add(features.cuts[i].z, engine::ops::argmax(features.victim_logits[i]));
    return collector.finish();
}

// The target for images of each class, for strategies with fixed targets; empty for others.
std::vector<std::int32_t> targets_of(const BilevelSettings& settings, const Defending& d) {
    const auto classes = static_cast<std::int32_t>(d.victim.model.classes());
    std::vector<std::int32_t> targets;
    switch (settings.adversary.strategy) {
        case Strategy::target:
            return d.ask_attacker();
        case Strategy::wrong:
            targets = d.ask_attacker();
            for (std::int32_t& target : targets) target = (target + 1) % classes;
            return targets;
        case Strategy::given:
            targets.assign(static_cast<std::size_t>(classes),
                           static_cast<std::int32_t>(settings.adversary.push_to));
            return targets;
        case Strategy::random:
        case Strategy::second:
        case Strategy::untarget:
            break;
    }
    return targets;
}

// Scales the radius with the image's side, to allow the same mean change per pixel.
float radius_for(const DefendedData& data) {
    const double side = std::sqrt(static_cast<double>(data.h * data.w));
    return static_cast<float>(3 * std::max(side / 32, 1.0));
}

}  // namespace

void Polarizing::fields(settings::Fields& f) {
    f.section("polarizer", "Training the polarizer");
    training_fields(f);
    f.section("polarizer", "Polarizer");
    f.add("insertion_point", bilevel_.insertion_point,
          "Layer whose input is polarized (cnpd info --model M lists them)")
        .otherwise("the model's");
    own_fields(f);
    f.section("polarizer", "Adversarial examples");
    adversary_fields(f);
    f.section("polarizer", "Weights of the loss");
    loss_fields(f);
}

void Polarizing::training_fields(settings::Fields& f) {
    BilevelSettings& b = bilevel_;
    f.add("epochs", b.epochs, "Epochs of the bi-level problem").range(1, 100'000);
    f.add("warmup_epochs", b.warmup_epochs,
          "Epochs of warm-up with clean cross-entropy only, before the bi-level problem")
        .range(0, 100'000);
    f.add("batch_size", b.batch_size, "Images per batch").range(1, 65'536);
    f.add("lr", b.learning_rate, "Learning rate").range(0, 1e3).formerly("learning_rate");
    f.add("warmup_lr", b.warmup_rate, "Learning rate of the warm-up")
        .range(0, 1e3)
        .formerly("warmup_rate");
    f.add("momentum", b.momentum, "Momentum of SGD").range(0, 1);
    f.add("weight_decay", b.weight_decay, "Weight decay").range(0, 1e3);
    f.add("cosine", b.cosine, "Reduce the learning rate along a cosine; otherwise it is constant")
        .off("constant-lr");
    f.add("clip_norm", b.clip_norm,
          "Clip the gradient of each class's polarizer to this norm; 0: no clipping")
        .range(0, 1e6);
    f.add("polarizer_bn", b.batch_norm,
          "Batch-norm statistics during training: frozen or eval (of the clean images, measured "
          "once) or train (of each batch)")
        .formerly("batch_norm");
    f.add("bn_start", b.batch_norm_start,
          "Initial batch norm: calibrated (the identity, with statistics of the clean images "
          "predicted as the class), shared (the identity, with statistics of all clean images) or "
          "published (PyTorch's initial values; statistics are collected in the warm-up)")
        .formerly("batch_norm_start")
        .since("0.2.0");
    f.add("augment", augment_, "Random crops and flips").formerly("defense/augment");
}

void Polarizing::adversary_fields(settings::Fields& f) {
    training::AdversarySettings& a = bilevel_.adversary;
    f.add("strategy", a.strategy,
          "Target class of an adversarial example: random, second (the most likely other class), "
          "target (the attack's, an oracle), wrong (a fixed wrong target, also an oracle), given "
          "(the class of --push-to) or untarget (no target: away from the image's own class)");
    f.add("push_to", a.push_to, "Number of a suspected target class; implies --strategy given")
        .otherwise("none")
        .range(-1, 1e9)
        .since("0.2.0");
    f.add("pgd_through", a.through,
          "Model whose gradient is followed: plain (the victim), composite (the purified model) or "
          "both");
    f.add("pgd_gradient", a.pgd.gradient,
          "Direction of a step: the gradient (raw), its sign (sign), or the gradient normalised to "
          "length 1 (normalised)");
    f.add("pgd_norm", a.pgd.norm, "Norm of the ball around an image");
    f.add("pgd_radius", a.pgd.radius, "Radius of the ball").unit("pixels of [0,1]").range(0, 1e6);
    f.add("pgd_steps", a.steps, "Number of PGD steps").range(1, 1000);
    f.add("pgd_step_size", a.pgd.step, "Length of a step")
        .unit("pixels of [0,1]")
        .otherwise("normalised: radius / steps; else 0.1")
        .range(0, 1e6);
    f.add("stop_share", a.stop_share,
          "Stop PGD once more than this share of the examples is classified as the target")
        .range(0, 1);
}

void Polarizing::loss_fields(settings::Fields& f) {
    constexpr double kMost = 1e6;
    ops::DefenseLossWeights& w = bilevel_.weights;
    f.add("lambda_clean", w.clean, "Weight of the cross-entropy of clean images")
        .range(0, kMost)
        .formerly("weight_clean");
    f.add("lambda_undo", w.undo,
          "Weight of the cross-entropy of adversarial examples with the victim's clean prediction")
        .range(0, kMost)
        .formerly("weight_undo");
    f.add("lambda_strongest", w.strongest, "Weight of the penalty on the most likely wrong class")
        .range(0, kMost)
        .formerly("weight_strongest");
    f.add("lambda_target", w.target, "Weight of the penalty on the target class")
        .range(0, kMost)
        .formerly("weight_target");
}

void Polarizing::recommend(Recipe recipe, const DefendedData& data) {
    bilevel_ = {};
    augment_ = true;
    bilevel_.adversary.pgd.radius = radius_for(data);
    bilevel_.adversary.pgd.step = 0;
    if (recipe == Recipe::published) {
        use_published(data);
        publish();
        return;
    }
    const bool many = data.classes > kManyClasses;
    if (many) {
        // Victims with many classes predict with high confidence; long steps overshoot.
        bilevel_.adversary.steps = 5;
        bilevel_.adversary.pgd.radius *= 2.0f / 3;
    }
    tune(many);
    if (many) {
        bilevel_.clip_norm = 3;
        bilevel_.epochs = 40;
    }
}

void Polarizing::use_published(const DefendedData& data) {
    const bool tiny = data.dataset == "tiny-imagenet", gtsrb = data.dataset == "gtsrb";
    BilevelSettings& b = bilevel_;
    if (gtsrb) b.adversary.pgd.radius = 5;
    b.warmup_epochs = 5;
    b.epochs = 50;
    b.cosine = false;
    b.clip_norm = 0;
    b.batch_norm_start = BatchNormStart::published;
    if (tiny) b.batch_norm = polarizers::BatchNormMode::train;
    training::use_published_inner_loop(b.adversary);
    if (tiny) b.adversary.pgd.gradient = ops::PgdGradient::raw;
    const float each = gtsrb ? 0.5f : 0.4f;
    b.weights =
        tiny ? ops::DefenseLossWeights{.clean = 1, .undo = 1, .strongest = .1f, .target = .1f}
             : ops::DefenseLossWeights{.clean = 1, .undo = each, .strongest = each, .target = each};
    augment_ = false;
}

void Polarizing::complete(const Victim& victim, const std::vector<std::string>& given) {
    training::AdversarySettings& a = bilevel_.adversary;
    const auto was_given = [&](const char* option) {
        return std::find(given.begin(), given.end(), option) != given.end();
    };
    // --push-to implies --strategy given.
    if (a.push_to >= 0 && was_given("push-to") && !was_given("strategy"))
        a.strategy = Strategy::given;
    if (a.push_to >= 0 && a.strategy != Strategy::given)
        throw InputError("--push-to needs --strategy given");
    if (a.push_to < 0 && !was_given("push-to") && a.strategy == Strategy::given)
        throw InputError("--strategy given needs --push-to");
    const std::int64_t classes = victim.model.classes();
    if (a.push_to >= classes || (a.push_to < 0 && was_given("push-to")))
        throw InputError(fmt::format("--push-to {}: classes are 0 to {}", a.push_to, classes - 1));
    training::complete(a);
    if (bilevel_.insertion_point.empty()) bilevel_.insertion_point = victim.model.insertion_point();
    channels_at(victim, bilevel_.insertion_point);  // throws InputError for an unknown layer
}

std::unique_ptr<polarizers::Polarizer> Polarizing::make(const Victim& victim,
                                                        std::uint64_t seed) const {
    return untrained({.classes = victim.model.classes(),
                      .channels = channels_at(victim, bilevel_.insertion_point),
                      .device = victim.device,
                      .activations = victim.model.activations()},
                     seed);
}

std::unique_ptr<polarizers::Polarizer> Polarizing::untrained(
    const polarizers::PolarizerPlace& place, std::uint64_t seed) const {
    auto polarizer = make(place, seed);
    polarizer->compute_in(place.activations);
    polarizer->refresh();
    return polarizer;
}

std::unique_ptr<Defended> Polarizing::purified(std::unique_ptr<polarizers::Polarizer> polarizer,
                                               const Victim& victim) const {
    return std::make_unique<PurifiedVictim>(std::move(polarizer), victim.model, options());
}

Outcome Polarizing::run(const Defending& d) {
    const models::Classifier& victim = d.victim.model;
    auto polarizer = make(d.victim, d.seed);
    BilevelSettings settings = bilevel_;
    settings.draws = augment_ ? d.augmentation : training::TrainingDraws{.seed = d.seed};
    settings.adversary.target_of_class = targets_of(settings, d);
    if (settings.batch_norm_start != BatchNormStart::published) {
        const auto statistics = statistics_of(victim, settings.insertion_point, d.clean);
        polarizer->calibrate(
            settings.batch_norm_start == BatchNormStart::shared ? statistics.shared() : statistics);
    }
    polarizer->refresh();
    polarizers::Polarizer& trained = *polarizer;
    auto defended = purified(std::move(polarizer), d.victim);
    defenses::BilevelTask task(victim, trained, d.clean, d.held_out, settings);
    const double seconds = d.train(task, *defended);
    trained.refresh();
    return {.defended = std::move(defended), .seconds = seconds};
}

std::unique_ptr<Defended> Polarizing::load(const store::RunFiles& files, const Victim& victim) {
    auto polarizer = make(victim, 0);
    engine::load_module(files.in(kPolarizerFile), *polarizer);
    polarizer->refresh();
    return purified(std::move(polarizer), victim);
}

std::unique_ptr<polarizers::Polarizer> untrained_polarizer(const PolarizerKind& kind,
                                                           const polarizers::PolarizerPlace& place,
                                                           std::uint64_t seed) {
    const auto defense = registry().make(kind.method);
    const auto* const polarizing = dynamic_cast<const Polarizing*>(defense.get());
    if (!polarizing) throw InputError(fmt::format("{} has no polarizer", kind.method));
    settings::Fields fields = settings::fields_of(*defense);
    for (const auto& [name, text] : kind.options) {
        settings::Field* const field = fields.find(name);
        if (!field) throw InputError(fmt::format("{} has no option --{}", kind.method, name));
        field->set(text, field->option());
    }
    return polarizing->untrained(place, seed);
}

std::vector<std::string> methods_with_polarizers() {
    std::vector<std::string> methods;
    const polarizers::PolarizerPlace smallest{.classes = 2, .channels = 1, .device = {}};
    for (const auto& entry : registry().entries()) {
        const auto defense = registry().make(entry.name);
        if (const auto* const polarizing = dynamic_cast<const Polarizing*>(defense.get()))
            if (polarizing->untrained(smallest, 0)->name() == entry.name)
                methods.emplace_back(entry.name);
    }
    return methods;
}

}  // namespace cnpd::defenses
