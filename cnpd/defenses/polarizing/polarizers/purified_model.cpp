#include "cnpd/defenses/polarizing/polarizers/purified_model.h"

#include <algorithm>
#include <numeric>

#include "engine/autograd.h"
#include "engine/ops.h"

namespace cnpd::polarizers {

namespace {

struct Mixture {
    Tensor labels, weights;  // [k,N]
};

// The k most likely classes of each row and their probabilities, normalised to a sum of 1.
Mixture top_classes(const Tensor& logits, std::int64_t k) {
    const std::int64_t n = logits.shape()[0], classes = logits.shape()[1];
    k = std::clamp<std::int64_t>(k, 1, classes);
    const std::vector<float> probabilities = engine::ops::softmax(logits).to_host<float>();
    std::vector<std::int32_t> labels(k * n), order(classes);
    std::vector<float> weights(k * n);
    for (std::int64_t i = 0; i < n; ++i) {
        const float* p = &probabilities[i * classes];
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [p](auto a, auto b) { return p[a] > p[b]; });
        float sum = 0;
        for (std::int64_t j = 0; j < k; ++j) sum += p[order[j]];
        for (std::int64_t j = 0; j < k; ++j) {
            labels[j * n + i] = order[j];
            weights[j * n + i] = p[order[j]] / sum;
        }
    }
    return {Tensor::from(labels, {k, n}, logits.device()),
            Tensor::from(weights, {k, n}, logits.device())};
}

}  // namespace

PurifiedModel::PurifiedModel(const models::Classifier& victim, const Polarizer& polarizer,
                             PurifiedOptions options)
    : victim_(victim), polarizer_(polarizer), options_(std::move(options)) {}

PurifiedModel::Features PurifiedModel::features(const Tensor& input) const {
    const engine::NoGrad no_grad;
    const models::Cut cut = victim_.prefix(input, options_.insertion_point);
    return {.cut = cut, .victim_logits = victim_.suffix(cut, options_.insertion_point)};
}

Predictions PurifiedModel::predict(const Features& features) const {
    const engine::NoGrad no_grad;
    const models::Cut purified{polarized(features.cut.z, features.victim_logits),
                               features.cut.residual};
    return {features.victim_logits, victim_.suffix(purified, options_.insertion_point)};
}

Tensor PurifiedModel::polarized(const Tensor& z, const Tensor& victim_logits) const {
    const engine::NoGrad no_grad;
    if (options_.routing == Routing::prediction)
        return polarizer_.infer(z, engine::ops::argmax(victim_logits));
    const Mixture mixture = top_classes(victim_logits, options_.top_k);
    return ops::polarize_mixture(z, mixture.labels, mixture.weights, polarizer_.maps());
}

}  // namespace cnpd::polarizers
