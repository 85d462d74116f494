#include "cnpd/defenses/polarizing/polarizers/purified_model.h"

#include "engine/autograd.h"
#include "engine/ops.h"

namespace cnpd::polarizers {

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
    return ops::polarize_mixture(z, ops::top_classes(victim_logits, options_.top_k),
                                 polarizer_.maps());
}

}  // namespace cnpd::polarizers
