#include "cnpd/training/bilevel.h"

#include <algorithm>
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
      sums_(Tensor::zeros({5}, engine::DType::float64)) {}

std::string BilevelTask::label() const {
    return std::string(polarizer_.name());
}

Tensor BilevelTask::pixels_of(const Batch& batch) const {
    if (!batch.augment) return batch.images.pixels(batch.indices);
    return batch.images.pixels(
        batch.indices, datasets::Augmentation{.crop_padding = settings_.draws.crop_padding,
                                              .flip = settings_.draws.flip,
                                              .seed = settings_.draws.seed,
                                              .epoch = static_cast<std::uint64_t>(batch.epoch)});
}

Tensor BilevelTask::normalise(const Tensor& pixels) const {
    return engine::ops::channel_affine(pixels, normalisation_.inverse_std, shift_);
}

Tensor BilevelTask::purified(const Cut& cut, const Tensor& labels) const {
    return victim_.suffix({polarizer_.apply(cut.z, labels), cut.residual},
                          settings_.insertion_point);
}

// The purified model on the way to an update.
Tensor BilevelTask::learning(const Cut& cut, const Tensor& labels) {
    const polarizers::BatchNormScope scope(polarizer_, settings_.batch_norm);
    return purified(cut, labels);
}

// Uniform over the classes other than the image's own.
std::vector<std::int32_t> BilevelTask::draw_targets(const Batch& batch) const {
    const auto classes = static_cast<std::uint32_t>(victim_.classes());
    std::vector<std::int32_t> targets;
    for (const std::int32_t index : batch.indices) {
        const auto draw = kernels::philox(settings_.draws.seed, kTargetStream + batch.epoch, index);
        const auto label = static_cast<std::uint32_t>(batch.images.host_labels()[index]);
        targets.push_back(static_cast<std::int32_t>(
            (label + 1 + kernels::below_from_bits(draw.v[0], classes - 1)) % classes));
    }
    return targets;
}

// The logits of the models that the inner loop's gradient goes through.
std::vector<Tensor> BilevelTask::attacked_logits(const Cut& cut, const Tensor& targets) const {
    std::vector<Tensor> logits;
    if (settings_.pgd_through != PgdThrough::composite)
        logits.push_back(victim_.suffix(cut, settings_.insertion_point));
    if (settings_.pgd_through != PgdThrough::plain) logits.push_back(purified(cut, targets));
    return logits;
}

Tensor BilevelTask::victim_prediction(const Cut& cut, const std::vector<Tensor>& attacked) const {
    if (settings_.pgd_through != PgdThrough::composite)
        return engine::ops::argmax(attacked.front());
    const engine::NoGrad no_grad;
    return engine::ops::argmax(victim_.suffix(cut, settings_.insertion_point));
}

// The inner maximisation. The victim's first forward pass is the clean one, and when the loop ends
// early its last one is that of the finished example: neither runs twice.
AdversarialBatch BilevelTask::attack(const Batch& from) const {
    const std::string_view point = settings_.insertion_point;
    const engine::Device device = images_.device();
    const auto count = static_cast<std::int64_t>(from.indices.size());
    const Tensor pixels = pixels_of(from);
    Tensor adversarial = pixels.clone();
    Tensor input = normalise(pixels);
    std::vector<std::int32_t> targets = draw_targets(from);
    const Tensor push_to = Tensor::from(targets, {count}, device);

    AdversarialBatch batch;
    for (std::int64_t step = 0; step < settings_.pgd_steps; ++step) {
        Tensor leaf = input.detach();
        leaf.set_requires_grad();
        const Cut cut = victim_.prefix(leaf, point);
        const std::vector<Tensor> logits = attacked_logits(cut, push_to);
        if (step == 0) {
            batch.clean = {cut.z.detach(), cut.residual.detach()};
            batch.victim_predictions = victim_prediction(cut, logits);
            const auto predicted = batch.victim_predictions.to_host<std::int32_t>();
            for (std::int64_t i = 0; i < count; ++i)
                if (targets[i] == predicted[i]) targets[i] = -1;
            batch.targets = Tensor::from(targets, {count}, device);
        }
        const auto unmasked = count - std::count(targets.begin(), targets.end(), std::int32_t{-1});
        std::int64_t fooled = count;
        for (const Tensor& each : logits)
            fooled = std::min(fooled,
                              engine::ops::count_equal(engine::ops::argmax(each), batch.targets));
        batch.fooled =
            static_cast<double>(fooled) / static_cast<double>(std::max<std::int64_t>(unmasked, 1));
        if (batch.fooled > settings_.stop_share) {
            batch.adversarial = {cut.z.detach(), cut.residual.detach()};
            return batch;
        }
        Tensor loss = engine::ops::cross_entropy(logits.front(), push_to, {.sum = true});
        if (logits.size() > 1)
            loss = engine::ops::add(
                loss, engine::ops::cross_entropy(logits.back(), push_to, {.sum = true}));
        const std::vector<Tensor> gradient = engine::gradients(loss, std::span(&leaf, 1));
        ++batch.pgd_gradients;
        input = ops::pgd_step(settings_.pgd, normalisation_, pixels, gradient.front(), adversarial);
    }
    const engine::NoGrad no_grad;
    batch.adversarial = victim_.prefix(input, point);
    return batch;
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

double BilevelTask::step(std::int64_t epoch, std::int64_t batch) {
    if (order_epoch_ != epoch) {
        order_ = std::make_unique<datasets::EpochOrder>(images_.size(), batch_size(),
                                                        settings_.draws.seed, epoch);
        order_epoch_ = epoch;
    }
    if (batch == 0) std::fill_n(sums_.data<double>(), 5, 0.0);
    optimizer_.set_learning_rate(learning_rate(epoch));
    // Here and not after an update, since a checkpoint may have been loaded in between.
    polarizer_.refresh();
    const auto indices = order_->batch(batch);
    return epoch < settings_.warmup_epochs ? warmup_step(indices, epoch)
                                           : bilevel_step(indices, epoch);
}

void BilevelTask::update(const Tensor& loss) {
    engine::backward(loss);
    polarizer_.prepare_gradients(settings_.clip_norm);
    optimizer_.step();
    optimizer_.zero_grad();
}

double BilevelTask::warmup_step(std::span<const std::int32_t> indices, std::int64_t epoch) {
    Cut cut;
    Tensor predictions;
    {
        const engine::NoGrad no_grad;
        cut = victim_.prefix(normalise(pixels_of({images_, indices, epoch, true})),
                             settings_.insertion_point);
        predictions = engine::ops::argmax(victim_.suffix(cut, settings_.insertion_point));
    }
    const Tensor loss =
        engine::ops::cross_entropy(learning(cut, predictions), images_.labels(indices));
    update(loss);
    sums_.data<double>()[0] += loss.item();
    return loss.item();
}

double BilevelTask::bilevel_step(std::span<const std::int32_t> indices, std::int64_t epoch) {
    const AdversarialBatch batch = attack({images_, indices, epoch, true});
    pgd_gradients_ += batch.pgd_gradients;
    // The adversarial example goes through its target's polarizer, whatever the victim says of it.
    std::vector<std::int32_t> routes = batch.targets.to_host<std::int32_t>();
    for (std::int32_t& route : routes) route = std::max(route, 0);
    const Tensor route = Tensor::from(routes, batch.targets.shape(), images_.device());
    const ops::DefenseLoss loss = ops::defense_loss(learning(batch.clean, batch.victim_predictions),
                                                    learning(batch.adversarial, route),
                                                    {.label = images_.labels(indices),
                                                     .restored = batch.victim_predictions,
                                                     .target = batch.targets},
                                                    settings_.weights);
    update(loss.loss);
    double* const sums = sums_.data<double>();
    const std::vector<float> terms = loss.terms.to_host<float>();
    for (std::size_t i = 0; i < terms.size(); ++i) sums[i] += terms[i];
    sums[4] += batch.fooled;
    return loss.loss.item();
}

void BilevelTask::end_epoch(std::int64_t epoch, double, nlohmann::ordered_json& record) {
    record["lr"] = learning_rate(epoch);
    const auto steps = static_cast<double>(batches_);
    const double* const sums = sums_.data<double>();
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
        const AdversarialBatch batch = attack({*held_out_, piece, 0, false});
        const engine::NoGrad no_grad;
        const Tensor labels = held_out_->labels(piece);
        before += engine::ops::count_equal(batch.victim_predictions, labels);
        after += engine::ops::count_equal(
            engine::ops::argmax(purified(batch.clean, batch.victim_predictions)), labels);
        const auto victim_says =
            engine::ops::argmax(victim_.suffix(batch.adversarial, settings_.insertion_point));
        const auto fooled = victim_says.to_host<std::int32_t>();
        const auto target = batch.targets.to_host<std::int32_t>();
        const auto clean = batch.victim_predictions.to_host<std::int32_t>();
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
