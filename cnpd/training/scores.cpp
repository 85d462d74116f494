#include "cnpd/training/scores.h"

#include <vector>

#include <nlohmann/json.hpp>

#include "cnpd/metrics/json.h"
#include "engine/ops.h"
#include "engine/storage.h"

namespace cnpd::training {

using engine::Tensor;
using metrics::percent;
using nlohmann::ordered_json;

metrics::Scores measure(const TestSets& tests, models::Classifier& model) {
    model.eval();
    return evaluate(tests, [&](const Tensor& input) { return model.forward(input); });
}

PurifiedScores measure(const TestSets& tests, const polarizers::PurifiedModel& model) {
    struct Both {
        std::vector<std::int32_t> victim, purified;
        std::vector<float> drops;
        metrics::Judged judged() const { return {victim, purified, drops}; }
    };
    const auto predict = [&](const datasets::BatchSource& images) {
        Both both;
        both.purified = predict_all(images, [&](const Tensor& input) {
            const polarizers::Predictions p = model.predict(input);
            const auto piece = engine::ops::argmax(p.victim).to_host<std::int32_t>();
            both.victim.insert(both.victim.end(), piece.begin(), piece.end());
            const auto drops = metrics::drops_of_probability(
                engine::ops::softmax(p.victim).to_host<float>(),
                engine::ops::softmax(p.purified).to_host<float>(), piece);
            both.drops.insert(both.drops.end(), drops.begin(), drops.end());
            return p.purified;
        });
        return both;
    };
    const Both clean = predict(tests.clean), poisoned = predict(tests.poisoned);
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

ordered_json to_json(const PurifiedScores& scores) {
    ordered_json json = to_json(scores.after);
    add_comparison(json, scores.before, scores.after);
    const metrics::Detection& detection = scores.detection;
    json["detection_tpr"] = percent(detection.true_positive_rate);
    json["detection_tpr_successful"] = percent(detection.true_positive_rate_successful);
    json["detection_fpr"] = percent(detection.false_positive_rate);
    json["detection_auroc"] = percent(detection.auroc);
    json["detection_auroc_successful"] = percent(detection.auroc_successful);
    return json;
}

void add_comparison(ordered_json& result, const metrics::Scores& before,
                    const metrics::Scores& after) {
    result["der"] = percent(metrics::defense_effectiveness(before, after));
    result["acc_before"] = percent(before.acc);
    result["asr_before"] = percent(before.asr);
    result["r_acc_before"] = percent(before.r_acc);
}

void add_costs(ordered_json& result, double seconds, std::int64_t parameters) {
    result["seconds"] = seconds;
    result["parameters_trained"] = parameters;
    result["peak_memory_bytes"] = engine::peak_resident_bytes();
}

}  // namespace cnpd::training
