#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/defense_loss/defense_loss.h"

namespace cnpd::kernels::reference {
namespace {

std::vector<double> softmax_of(const float* logits, std::int64_t classes) {
    const double maximum = *std::max_element(logits, logits + classes);
    std::vector<double> p(classes);
    double sum = 0;
    for (std::int64_t k = 0; k < classes; ++k) sum += p[k] = std::exp(logits[k] - maximum);
    for (double& value : p) value /= sum;
    return p;
}

// CE = log sum exp - logit stays finite where the probability underflows.
double cross_entropy(const float* logits, std::int64_t classes, std::int64_t label) {
    const double maximum = *std::max_element(logits, logits + classes);
    double sum = 0;
    for (std::int64_t k = 0; k < classes; ++k) sum += std::exp(logits[k] - maximum);
    return maximum + std::log(sum) - logits[label];
}

std::int64_t strongest_wrong_class(const float* logits, std::int64_t classes, std::int64_t label) {
    std::int64_t strongest = label == 0 ? 1 : 0;
    for (std::int64_t k = strongest + 1; k < classes; ++k)
        if (k != label && logits[k] > logits[strongest]) strongest = k;
    return strongest;
}

}  // namespace

void defense_loss(std::int64_t n, std::int64_t classes, const float* clean,
                  const float* adversarial, const DefenseLossLabels& labels,
                  const DefenseLossWeights& weights, float* loss, float* terms, float* dclean,
                  float* dadversarial) {
    const auto unmasked = static_cast<double>(
        std::count_if(labels.target, labels.target + n, [](auto target) { return target >= 0; }));
    double sums[4] = {};
    for (std::int64_t row = 0; row < n; ++row) {
        const float* logits = clean + row * classes;
        std::vector<double> p = softmax_of(logits, classes);
        sums[0] += cross_entropy(logits, classes, labels.label[row]);
        for (std::int64_t k = 0; k < classes; ++k)
            dclean[row * classes + k] = static_cast<float>(weights.clean / static_cast<double>(n) *
                                                           (p[k] - (k == labels.label[row])));

        const std::int64_t target = labels.target[row];
        float* gradient = dadversarial + row * classes;
        std::fill_n(gradient, classes, 0.0f);
        if (target < 0) continue;
        logits = adversarial + row * classes;
        p = softmax_of(logits, classes);
        const std::int64_t restored = labels.restored[row];
        const std::int64_t strongest = strongest_wrong_class(logits, classes, labels.label[row]);
        sums[1] += cross_entropy(logits, classes, restored);
        sums[2] -= std::log(1.0001 - p[strongest]);
        sums[3] -= std::log(1.0001 - p[target]);
        for (std::int64_t k = 0; k < classes; ++k) {
            const double undo = p[k] - (k == restored);
            const double away_from_strongest =
                p[strongest] / (1.0001 - p[strongest]) * ((k == strongest) - p[k]);
            const double away_from_target =
                p[target] / (1.0001 - p[target]) * ((k == target) - p[k]);
            gradient[k] =
                static_cast<float>((weights.undo * undo + weights.strongest * away_from_strongest +
                                    weights.target * away_from_target) /
                                   unmasked);
        }
    }
    terms[0] = static_cast<float>(n ? sums[0] / static_cast<double>(n) : 0);
    for (int term = 1; term < 4; ++term)
        terms[term] = static_cast<float>(unmasked > 0 ? sums[term] / unmasked : 0);
    *loss = weights.sum(terms);
}

}  // namespace cnpd::kernels::reference
