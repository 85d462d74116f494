#include "cnpd/training/bilevel.h"

#include <cmath>
#include <numbers>
#include <numeric>

#include <nlohmann/json.hpp>

#include "cnpd/metrics/json.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "kernels/common/error.h"
#include "kernels/common/philox.h"

namespace cnpd::training {

using engine::Tensor;
using models::Cut;

namespace {

// The stream of Philox that target classes are drawn from, one for each epoch.
constexpr std::uint64_t kTargetStream = std::uint64_t{2} << 32;

// Features of the test sets are kept in memory up to this size.
constexpr std::int64_t kFeatureBudget = std::int64_t{1} << 30;

Tensor negative_product(const Tensor& a, const Tensor& b) {
    std::vector<float> x = a.to_host<float>();
    const std::vector<float> y = b.to_host<float>();
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= -y[i];
    return Tensor::from(x, a.shape(), a.device());
}

}  // namespace

BilevelTask::BilevelTask(const models::Classifier& victim, polarizers::Polarizer& polarizer,
                         const datasets::BatchSource& clean_subset,
                         const datasets::BatchSource* held_out, const TestSets* tests,
                         const BilevelSettings& settings)
    : victim_(victim),
      polarizer_(polarizer),
      images_(clean_subset),
      held_out_(held_out),
      tests_(tests),
      settings_(settings),
      normalisation_{clean_subset.mean(), clean_subset.inverse_std()},
      shift_(negative_product(clean_subset.mean(), clean_subset.inverse_std())),
      batches_(datasets::EpochOrder::batches_of(clean_subset.size(), settings.batch_size)),
      optimizer_(polarizer.parameter_groups(settings.weight_decay),
                 {.momentum = settings.momentum}),
      sums_(Tensor::zeros({6}, engine::DType::float64, clean_subset.device())),
      warmup_graph_(
          [this](std::span<const Tensor> inputs) { return warmup_step(inputs[0], inputs[1]); }),
      bilevel_graph_([this](std::span<const Tensor> inputs) {
          return bilevel_step(inputs[0], inputs[1], inputs[2]);
      }) {}

std::string BilevelTask::label() const {
    return std::string(polarizer_.name());
}

std::int64_t BilevelTask::pgd_gradients() const {
    return static_cast<std::int64_t>(sums_.to_host<double>()[5]);
}

void BilevelTask::run_as_written() {
    warmup_graph_.run_as_written();
    bilevel_graph_.run_as_written();
}

Tensor BilevelTask::normalise(const Tensor& pixels) const {
    return engine::ops::channel_affine(pixels, normalisation_.inverse_std, shift_);
}

Tensor BilevelTask::purified(const Cut& cut, const Tensor& labels) const {
    return victim_.suffix({polarizer_.apply(cut.z, labels), cut.residual},
                          settings_.insertion_point);
}

// The purified model on the way to an update.
Tensor BilevelTask::learning(const Cut& cut, const Tensor& labels, polarizers::BatchNormMode mode) {
    const polarizers::BatchNormScope scope(polarizer_, mode);
    return purified(cut, labels);
}

// What an image's attack is given by: the class to push it to, negative for an image that is left
// alone; or its own class, where `strategy` makes it a matter of the logits.
Tensor BilevelTask::draw_aims(const datasets::BatchSource& images,
                              std::span<const std::int32_t> indices, std::uint64_t epoch) const {
    const auto classes = static_cast<std::uint32_t>(victim_.classes());
    std::vector<std::int32_t> aims;
    for (const std::int32_t index : indices) {
        const std::int32_t label = images.host_labels()[index];
        switch (settings_.strategy) {
            case Strategy::random: {
                const auto draw =
                    kernels::philox(settings_.draws.seed, kTargetStream + epoch, index);
                const auto away = 1 + kernels::below_from_bits(draw.v[0], classes - 1);
                aims.push_back(static_cast<std::int32_t>(
                    (static_cast<std::uint32_t>(label) + away) % classes));
                break;
            }
            case Strategy::target:
            case Strategy::wrong:
            case Strategy::given: {
                const std::int32_t target = settings_.target_of_class.at(label);
                aims.push_back(target == label ? -1 : target);
                break;
            }
            case Strategy::second:
            case Strategy::untarget:
                aims.push_back(label);
                break;
        }
    }
    return Tensor::from(aims, {static_cast<std::int64_t>(aims.size())}, images.device());
}

Tensor BilevelTask::suffix(const Cut& cut) const {
    return victim_.suffix(cut, settings_.insertion_point);
}

// Begins the attack on a batch of clean images; push_to becomes the classes that its gradient aims
// at or avoids.
ops::Attack BilevelTask::start(const Cut& clean, const Tensor& victim_logits, const Tensor& aim,
                               Tensor& push_to) const {
    push_to = aim;
    if (settings_.strategy == Strategy::untarget)
        return ops::start_attack(victim_logits, aim, ops::AttackDirection::away);
    if (settings_.strategy == Strategy::second) {
        const engine::NoGrad no_grad;
        const Tensor logits = purified({clean.z.detach(), clean.residual.detach()},
                                       engine::ops::argmax(victim_logits));
        push_to = ops::strongest_other(logits, aim);
    }
    return ops::start_attack(victim_logits, push_to);
}

// The inner maximisation. The victim's first forward pass is the clean one, and when the loop is
// seen to end early its last one is that of the finished example: neither runs twice.
AdversarialBatch BilevelTask::attack(const Tensor& pixels, const Tensor& aim) const {
    const bool plain = settings_.pgd_through != PgdThrough::composite;
    const bool composite = settings_.pgd_through != PgdThrough::plain;
    const bool away = settings_.strategy == Strategy::untarget;
    const bool known = !settings_.target_of_class.empty();  // then some images have no target
    ops::PgdOptions pgd = settings_.pgd;
    if (away) pgd.step = -pgd.step;

    const std::string_view point = settings_.insertion_point;
    Tensor adversarial = pixels.clone();
    Tensor input = normalise(pixels);
    Tensor push_to;
    AdversarialBatch batch;
    const auto finish = [&](const Cut& cut) {
        batch.adversarial = {cut.z.detach(), cut.residual.detach()};
        const engine::NoGrad no_grad;
        if (away) ops::aim_at_reached(suffix(batch.adversarial), batch.attack);
        return batch;
    };
    for (std::int64_t step = 0; step < settings_.pgd_steps; ++step) {
        Tensor leaf = input.detach();
        leaf.set_requires_grad();
        const Cut cut = victim_.prefix(leaf, point);
        // The logits of the models that the gradient goes through.
        std::vector<Tensor> logits;
        if (plain) logits.push_back(suffix(cut));
        if (step == 0) {
            batch.clean = {cut.z.detach(), cut.residual.detach()};
            const engine::NoGrad no_grad;
            batch.attack =
                start(batch.clean, plain ? logits.front() : suffix(batch.clean), aim, push_to);
        }
        // An image that is driven away has no target yet: it goes where the victim sends it.
        if (composite)
            logits.push_back(purified(cut, away    ? batch.attack.predicted
                                           : known ? batch.attack.route
                                                   : push_to));
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

double BilevelTask::learning_rate(std::int64_t epoch) const {
    const std::int64_t bilevel_epoch = epoch - settings_.warmup_epochs;
    if (bilevel_epoch < 0) return settings_.warmup_rate;
    if (!settings_.cosine) return settings_.learning_rate;
    return settings_.learning_rate *
           (1 + std::cos(std::numbers::pi * static_cast<double>(bilevel_epoch) /
                         static_cast<double>(settings_.epochs))) /
           2;
}

void BilevelTask::begin_epoch(std::uint64_t number) {
    epoch_.emplace(images_, batch_size(), settings_.draws.seed, number);
    aims_ = draw_aims(images_, epoch_->order().images(), number);
}

Tensor BilevelTask::step(std::int64_t epoch, std::int64_t batch) {
    const auto number = static_cast<std::uint64_t>(epoch);
    if (!epoch_ || epoch_->number() != number) begin_epoch(number);
    if (batch == 0) sums_.set_zero();
    optimizer_.set_learning_rate(learning_rate(epoch));
    const Tensor inputs[] = {
        images_.pixels(epoch_->indices(batch),
                       datasets::Augmentation{.crop_padding = settings_.draws.crop_padding,
                                              .flip = settings_.draws.flip,
                                              .seed = settings_.draws.seed,
                                              .epoch = number}),
        epoch_->labels(batch), epoch_->slice(aims_, batch)};
    if (epoch < settings_.warmup_epochs) return warmup_graph_.run(std::span(inputs).first(2));
    return bilevel_graph_.run(inputs);
}

void BilevelTask::update(const Tensor& loss) {
    engine::backward(loss);
    polarizer_.prepare_gradients(settings_.clip_norm);
    optimizer_.step();
    optimizer_.zero_grad();
}

// Both kinds of steps begin by folding the parameters, and do not leave it to an update's end: a
// checkpoint may have been loaded in between.
Tensor BilevelTask::warmup_step(const Tensor& pixels, const Tensor& labels) {
    polarizer_.refresh();
    Cut cut;
    Tensor predictions;
    {
        const engine::NoGrad no_grad;
        cut = victim_.prefix(normalise(pixels), settings_.insertion_point);
        predictions = engine::ops::argmax(victim_.suffix(cut, settings_.insertion_point));
    }
    const auto mode = settings_.batch_norm_start == BatchNormStart::published
                          ? polarizers::BatchNormMode::train
                          : settings_.batch_norm;
    const Tensor loss = engine::ops::cross_entropy(learning(cut, predictions, mode), labels);
    update(loss);
    Tensor sum = sums_.rows(0, 1).view({});
    engine::ops::accumulate(loss.detach(), sum);
    return loss.detach();
}

Tensor BilevelTask::bilevel_step(const Tensor& pixels, const Tensor& labels, const Tensor& aim) {
    polarizer_.refresh();
    const AdversarialBatch batch = attack(pixels, aim);
    // The adversarial example goes through its target's polarizer, whatever the victim says of it.
    const ops::DefenseLoss loss = ops::defense_loss(
        learning(batch.clean, batch.attack.predicted, settings_.batch_norm),
        learning(batch.adversarial, batch.attack.route, settings_.batch_norm),
        {.label = labels, .restored = batch.attack.predicted, .target = batch.attack.target},
        settings_.weights);
    update(loss.loss);
    Tensor of_terms = sums_.rows(0, 4);
    engine::ops::accumulate(loss.terms, of_terms);
    ops::account(batch.attack, sums_.rows(4, 2));
    return loss.loss.detach();
}

void BilevelTask::end_epoch(std::int64_t epoch, double, nlohmann::ordered_json& record) {
    record["lr"] = learning_rate(epoch);
    const auto steps = static_cast<double>(batches_);
    const std::vector<double> sums = sums_.to_host<double>();
    record["loss_clean"] = sums[0] / steps;
    if (epoch >= settings_.warmup_epochs) {
        record["loss_undo"] = sums[1] / steps;
        record["loss_strongest"] = sums[2] / steps;
        record["loss_target"] = sums[3] / steps;
        record["fooled"] = metrics::percent(sums[4] / steps);
    }
    const bool last = epoch + 1 == epochs();
    const bool due = settings_.evaluate_every > 0 && (epoch + 1) % settings_.evaluate_every == 0;
    if (!last && !due) return;
    polarizer_.refresh();
    if (held_out_) measure_held_out(record);
    if (!tests_) return;
    if (!cached_) {
        const std::int32_t first[] = {0};
        const engine::NoGrad no_grad;
        const Cut probe = victim_.prefix(tests_->clean.input(first), settings_.insertion_point);
        if (cached_bytes(probe, tests_->clean.size() + tests_->poisoned.size()) <= kFeatureBudget)
            cached_ = {cache_features(victim_, settings_.insertion_point, tests_->clean),
                       cache_features(victim_, settings_.insertion_point, tests_->poisoned)};
    }
    const polarizers::PurifiedModel model(victim_, polarizer_,
                                          {.insertion_point = settings_.insertion_point});
    metrics::add_scores(record, evaluate_purified(*tests_, model, cached_ ? &*cached_ : nullptr));
}

// Accuracy on clean images that nothing was trained on, before and after, and how many of the
// examples that fooled the victim are led back to its clean prediction. The draws are the same in
// every epoch.
void BilevelTask::measure_held_out(nlohmann::ordered_json& record) const {
    std::vector<std::int32_t> indices(held_out_->size());
    std::iota(indices.begin(), indices.end(), 0);
    std::int64_t before = 0, after = 0, pushed = 0, still = 0, restored = 0;
    for (std::size_t first = 0; first < indices.size(); first += kEvaluationBatch) {
        const auto piece = std::span(indices).subspan(
            first, std::min<std::size_t>(kEvaluationBatch, indices.size() - first));
        const AdversarialBatch batch =
            attack(held_out_->pixels(piece), draw_aims(*held_out_, piece, 0));
        const engine::NoGrad no_grad;
        const Tensor labels = held_out_->labels(piece);
        before += engine::ops::count_equal(batch.attack.predicted, labels);
        after += engine::ops::count_equal(
            engine::ops::argmax(purified(batch.clean, batch.attack.predicted)), labels);
        const auto victim_says =
            engine::ops::argmax(victim_.suffix(batch.adversarial, settings_.insertion_point));
        const auto fooled = victim_says.to_host<std::int32_t>();
        const auto target = batch.attack.target.to_host<std::int32_t>();
        const auto clean = batch.attack.predicted.to_host<std::int32_t>();
        const auto answer =
            engine::ops::argmax(purified(batch.adversarial, victim_says)).to_host<std::int32_t>();
        for (std::size_t i = 0; i < piece.size(); ++i) {
            if (target[i] < 0 || fooled[i] != target[i]) continue;
            ++pushed;
            still += answer[i] == target[i];
            restored += answer[i] == clean[i];
        }
    }
    const auto share = [](std::int64_t part, std::int64_t whole) {
        return metrics::percent(static_cast<double>(part) / static_cast<double>(whole));
    };
    record["held_out_acc_before"] = share(before, held_out_->size());
    record["held_out_acc"] = share(after, held_out_->size());
    record["held_out_still_fooled"] = share(still, pushed);
    record["held_out_restored"] = share(restored, pushed);
}

std::vector<engine::nn::NamedTensor> BilevelTask::state() {
    std::vector<engine::nn::NamedTensor> all;
    for (auto& named : polarizer_.state()) {
        named.name = "polarizer." + named.name;
        all.push_back(std::move(named));
    }
    for (auto& named : optimizer_.state()) {
        named.name = "optimizer." + named.name;
        all.push_back(std::move(named));
    }
    all.push_back({.name = "sums", .tensor = sums_});
    return all;
}

metrics::Scores evaluate_purified(const TestSets& tests, const polarizers::PurifiedModel& model,
                                  const std::array<CachedFeatures, 2>* cached) {
    if (!cached)
        return evaluate(tests, [&](const Tensor& input) { return model.predict(input).purified; });
    std::array<std::vector<std::int32_t>, 2> predictions;
    for (std::size_t set = 0; set < 2; ++set) {
        const CachedFeatures& features = (*cached)[set];
        for (std::size_t i = 0; i < features.cuts.size(); ++i) {
            const Tensor logits =
                model.predict(features.cuts[i], features.victim_logits[i]).purified;
            const auto piece = engine::ops::argmax(logits).to_host<std::int32_t>();
            predictions[set].insert(predictions[set].end(), piece.begin(), piece.end());
        }
    }
    return metrics::score(predictions[0], tests.clean.host_labels(), predictions[1],
                          tests.poisoned_labels());
}

}  // namespace cnpd::training
