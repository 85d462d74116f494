#include "cnpd/evaluation/scores.h"

#include <vector>

#include <nlohmann/json.hpp>

#include "cnpd/metrics/json.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/storage.h"

namespace cnpd::evaluation {

using engine::Tensor;
using metrics::percent;
using nlohmann::ordered_json;

metrics::Scores measure(const TestSets& tests, models::Classifier& model) {
    model.eval();
    return evaluate(tests, [&](const Tensor& input) { return model.forward(input); });
}

namespace {

// Predictions of a set by victim and purified model.
struct Both {
    std::vector<std::int32_t> victim, purified;
    std::vector<float> drops;
    metrics::Judged judged() const { return {victim, purified, drops}; }
};

Both predict_both(const datasets::BatchSource& images, const Predictor& model) {
    Both both;
    both.purified = predict_all(images, [&](const Tensor& input) {
        const Predictions p = model.predict(input);
        const auto piece = engine::ops::argmax(p.victim).to_host<std::int32_t>();
        both.victim.insert(both.victim.end(), piece.begin(), piece.end());
        const auto drops =
            metrics::drops_of_probability(engine::ops::softmax(p.victim).to_host<float>(),
                                          engine::ops::softmax(p.purified).to_host<float>(), piece);
        both.drops.insert(both.drops.end(), drops.begin(), drops.end());
        return p.purified;
    });
    return both;
}

bool predicts_both(const TestSets& tests, const Predictor& model) {
    const engine::NoGrad no_grad;
    const std::int32_t first[] = {0};
    return model.predict(tests.clean.input(first)).victim.defined();
}

}  // namespace

Comparison measure(const TestSets& tests, const models::Classifier& victim,
                   const Predictor& defended) {
    if (!predicts_both(tests, defended))
        return {
            .before = evaluate(tests, [&](const Tensor& input) { return victim.forward(input); }),
            .after = evaluate(
                tests, [&](const Tensor& input) { return defended.predict(input).purified; }),
            .detection = {}};
    const Both clean = predict_both(tests.clean, defended);
    const Both poisoned = predict_both(tests.poisoned, defended);
    const metrics::PoisonedLabels labels = tests.poisoned_labels();
    const auto& truth = tests.clean.host_labels();
    return {.before = metrics::score(clean.victim, truth, poisoned.victim, labels),
            .after = metrics::score(clean.purified, truth, poisoned.purified, labels),
            .detection =
                metrics::detect(clean.judged(), poisoned.judged(), tests.poisoned.host_labels())};
}

ordered_json to_json(const metrics::Scores& scores) {
    ordered_json json;
    metrics::add_scores(json, scores);
    json["asr_untriggered"] = percent(scores.asr_untriggered);
    json["n_clean"] = scores.n_clean;
    json["n_poisoned"] = scores.n_poisoned;
    return json;
}

ordered_json to_json(const Comparison& scores) {
    ordered_json json = to_json(scores.after);
    json["der"] = percent(metrics::defense_effectiveness(scores.before, scores.after));
    json["acc_before"] = percent(scores.before.acc);
    json["asr_before"] = percent(scores.before.asr);
    json["r_acc_before"] = percent(scores.before.r_acc);
    json["asr_untriggered_before"] = percent(scores.before.asr_untriggered);
    if (!scores.detection) return json;
    const metrics::Detection& detection = *scores.detection;
    json["detection_tpr"] = percent(detection.true_positive_rate);
    json["detection_tpr_successful"] = percent(detection.true_positive_rate_successful);
    json["detection_fpr"] = percent(detection.false_positive_rate);
    json["detection_auroc"] = percent(detection.auroc);
    json["detection_auroc_successful"] = percent(detection.auroc_successful);
    metrics::add_roc(json, detection.roc);
    return json;
}

void add_costs(ordered_json& result, double seconds, std::int64_t parameters) {
    result["seconds"] = seconds;
    result["parameters_trained"] = parameters;
    result["peak_memory_bytes"] = engine::peak_resident_bytes();
}

namespace {

// Features of the test sets are kept in memory up to this size.
constexpr std::int64_t kFeatureBudget = std::int64_t{1} << 30;

}  // namespace

bool Observer::fits(const Predictor& model) const {
    const std::int32_t first[] = {0};
    const Predictor::Features one = model.features(tests_.clean.input(first));
    return cached_bytes(one.cut, tests_.clean.size() + tests_.poisoned.size()) <= kFeatureBudget;
}

Observer::Cached Observer::features(const Predictor& model,
                                    const datasets::BatchSource& images) const {
    Cached all;
    for_pieces(images.size(), [&](const std::vector<std::int32_t>& indices) {
        all.push_back(model.features(images.input(indices)));
    });
    return all;
}

metrics::Scores Observer::measure(const Predictor& model) {
    const engine::NoGrad no_grad;
    if (!cached_ && model.has_features() && fits(model))
        cached_ = {features(model, tests_.clean), features(model, tests_.poisoned)};
    if (!cached_)
        return evaluate(tests_, [&](const Tensor& input) { return model.predict(input).purified; });
    std::array<std::vector<std::int32_t>, 2> predictions;
    for (std::size_t set = 0; set < 2; ++set)
        for (const Predictor::Features& piece : (*cached_)[set]) {
            const auto classes =
                engine::ops::argmax(model.predict(piece).purified).to_host<std::int32_t>();
            predictions[set].insert(predictions[set].end(), classes.begin(), classes.end());
        }
    return metrics::score(predictions[0], tests_.clean.host_labels(), predictions[1],
                          tests_.poisoned_labels());
}

}  // namespace cnpd::evaluation
