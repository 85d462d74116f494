#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/defense_loss/defense_loss.h"

namespace cnpd::kernels::cpu {
namespace {

// p [classes] = softmax(logits); returns log sum exp.
double softmax_of(const float* logits, std::int64_t classes, double* p) {
    const double maximum = *std::max_element(logits, logits + classes);
    double sum = 0;
    for (std::int64_t k = 0; k < classes; ++k) sum += p[k] = std::exp(logits[k] - maximum);
    for (std::int64_t k = 0; k < classes; ++k) p[k] /= sum;
    return maximum + std::log(sum);
}

std::int64_t strongest_wrong_class(const float* logits, std::int64_t classes, std::int64_t label) {
    std::int64_t strongest = label == 0 ? 1 : 0;
    for (std::int64_t k = strongest + 1; k < classes; ++k)
        if (k != label && logits[k] > logits[strongest]) strongest = k;
    return strongest;
}

// The gradient with respect to logit k of w * -log(1.0001 - p[c]) is slope * ((k == c) - p[k]).
struct PushAway {
    double loss, slope;
};

PushAway push_away(double p, double weight) {
    const double rest = 1.0001 - p;
    return {-std::log(rest), weight * p / rest};
}

}  // namespace

void defense_loss(std::int64_t n, std::int64_t classes, const float* clean,
                  const float* adversarial, const DefenseLossLabels& labels,
                  const DefenseLossWeights& weights, float* loss, float* terms, float* dclean,
                  float* dadversarial) {
    const auto unmasked = static_cast<double>(
        std::count_if(labels.target, labels.target + n, [](auto target) { return target >= 0; }));
    std::vector<double> losses(4 * n, 0.0);  // summed below in the order of the samples
    parallel_for(n, 32, [&](std::int64_t first, std::int64_t last) {
        std::vector<double> p(classes);
        for (std::int64_t row = first; row < last; ++row) {
            const float* logits = clean + row * classes;
            float* gradient = dclean + row * classes;
            double* of_row = losses.data() + 4 * row;
            const std::int64_t label = labels.label[row];
            of_row[0] = softmax_of(logits, classes, p.data()) - logits[label];
            p[label] -= 1;
            const double clean_share = weights.clean / static_cast<double>(n);
            for (std::int64_t k = 0; k < classes; ++k)
                gradient[k] = static_cast<float>(clean_share * p[k]);

            const std::int64_t target = labels.target[row];
            gradient = dadversarial + row * classes;
            if (target < 0) {
                std::fill_n(gradient, classes, 0.0f);
                continue;
            }
            logits = adversarial + row * classes;
            const std::int64_t restored = labels.restored[row];
            of_row[1] = softmax_of(logits, classes, p.data()) - logits[restored];
            const std::int64_t strongest = strongest_wrong_class(logits, classes, label);
            const PushAway from_strongest = push_away(p[strongest], weights.strongest);
            const PushAway from_target = push_away(p[target], weights.target);
            of_row[2] = from_strongest.loss;
            of_row[3] = from_target.loss;
            const double shared =
                (weights.undo - from_strongest.slope - from_target.slope) / unmasked;
            // Summed in double: where p is near 1 the terms nearly cancel.
            for (std::int64_t k = 0; k < classes; ++k) p[k] *= shared;
            p[restored] -= weights.undo / unmasked;
            p[strongest] += from_strongest.slope / unmasked;
            p[target] += from_target.slope / unmasked;
            for (std::int64_t k = 0; k < classes; ++k) gradient[k] = static_cast<float>(p[k]);
        }
    });
    double sums[4] = {};
    for (std::int64_t i = 0; i < 4 * n; ++i) sums[i % 4] += losses[i];
    terms[0] = static_cast<float>(n ? sums[0] / static_cast<double>(n) : 0);
    for (int term = 1; term < 4; ++term)
        terms[term] = static_cast<float>(unmasked > 0 ? sums[term] / unmasked : 0);
    *loss = weights.sum(terms);
}

}  // namespace cnpd::kernels::cpu
