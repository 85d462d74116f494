#include "cnpd/defenses/polarizing/bilevel.h"

#include <cmath>
#include <numbers>
#include <numeric>

#include <nlohmann/json.hpp>

#include "cnpd/evaluation/evaluation.h"
#include "cnpd/metrics/json.h"
#include "engine/autograd.h"
#include "engine/ops.h"

namespace cnpd::defenses {

using engine::Tensor;
using models::Cut;
using training::AdversarialBatch;

BilevelTask::BilevelTask(const models::Classifier& victim, polarizers::Polarizer& polarizer,
                         const datasets::BatchSource& clean_subset,
                         const datasets::BatchSource* held_out, const BilevelSettings& settings)
    : victim_(victim),
      polarizer_(polarizer),
      images_(clean_subset),
      held_out_(held_out),
      settings_(settings),
      adversary_(
          victim, settings.insertion_point, {clean_subset.mean(), clean_subset.inverse_std()},
          settings.adversary, settings.draws.seed,
          [this](const Cut& cut, const ops::Routes& routes) { return purified(cut, routes); }),
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

Tensor BilevelTask::purified(const Cut& cut, const ops::Routes& routes) const {
    return victim_.suffix({polarizer_.apply(cut.z, routes), cut.residual},
                          settings_.insertion_point);
}

// The purified model's logits, recorded for an update.
Tensor BilevelTask::learning(const Cut& cut, const ops::Routes& routes,
                             polarizers::BatchNormMode mode) {
    const polarizers::BatchNormScope scope(polarizer_, mode);
    return purified(cut, routes);
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
    aims_ = adversary_.aims(images_, epoch_->order().images(), number);
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
    optimizer_.zero_grad();
    engine::backward(loss);
    polarizer_.prepare_gradients(settings_.clip_norm);
    optimizer_.step();
}

// Both kinds of steps fold the parameters first instead of after an update, because a checkpoint
// may have been loaded in between.
Tensor BilevelTask::warmup_step(const Tensor& pixels, const Tensor& labels) {
    polarizer_.refresh();
    Cut cut;
    Tensor predictions;
    {
        const engine::NoGrad no_grad;
        cut = victim_.prefix(adversary_.normalise(pixels), settings_.insertion_point);
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
    const AdversarialBatch batch = adversary_.attack(pixels, aim);
    // The adversarial example goes through its target's polarizer, regardless of the victim's
    // prediction.
    const ops::DefenseLoss loss = ops::defense_loss(
        learning(batch.clean, batch.predicted, settings_.batch_norm),
        learning(batch.adversarial, batch.route, settings_.batch_norm),
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
    polarizer_.refresh();
    if (held_out_) measure_held_out(record);
}

// Held-out accuracy of the victim and the purified model, and the share of the examples that fool
// the victim for which the purified model restores the clean prediction. The draws are the same in
// every epoch.
void BilevelTask::measure_held_out(nlohmann::ordered_json& record) const {
    std::vector<std::int32_t> indices(held_out_->size());
    std::iota(indices.begin(), indices.end(), 0);
    std::int64_t before = 0, after = 0, pushed = 0, still = 0, restored = 0;
    for (std::size_t first = 0; first < indices.size(); first += evaluation::kEvaluationBatch) {
        const auto piece = std::span(indices).subspan(
            first, std::min<std::size_t>(evaluation::kEvaluationBatch, indices.size() - first));
        const AdversarialBatch batch =
            adversary_.attack(held_out_->pixels(piece), adversary_.aims(*held_out_, piece, 0));
        const engine::NoGrad no_grad;
        const Tensor labels = held_out_->labels(piece);
        before += engine::ops::count_equal(batch.attack.predicted, labels);
        after += engine::ops::count_equal(
            engine::ops::argmax(purified(batch.clean, batch.predicted)), labels);
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

}  // namespace cnpd::defenses
