#include <algorithm>
#include <cmath>

#include "kernels/attack_loss/attack_loss.h"

namespace cnpd::kernels::reference {
namespace {

std::int32_t argmax(const float* row, std::int64_t classes) {
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < classes && !std::isnan(row[best]); ++k)
        if (row[k] > row[best] || std::isnan(row[k])) best = k;
    return static_cast<std::int32_t>(best);
}

}  // namespace

void attack_start(const float* logits, std::int64_t n, std::int64_t classes,
                  const std::int32_t* push_to, AttackDirection direction,
                  const AttackLabels& labels, AttackState* state) {
    *state = {};
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int32_t predicted = argmax(logits + i * classes, classes);
        const bool there = (push_to[i] == predicted) == (direction == AttackDirection::towards);
        const bool masked = push_to[i] < 0 || there;
        labels.predicted[i] = predicted;
        labels.target[i] = masked ? -1 : push_to[i];
        labels.route[i] = masked ? 0 : push_to[i];
        state->unmasked += !masked;
    }
}

void attack_loss(const AttackedModels& models, std::int64_t n, std::int64_t classes,
                 const std::int32_t* push_to, const std::int32_t* target, AttackDirection direction,
                 double stop_share, AttackState* state) {
    state->fooled = static_cast<std::int32_t>(n);
    for (int model = 0; model < 2; ++model) {
        if (!models.logits[model]) continue;
        std::int32_t fooled = 0;
        for (std::int64_t i = 0; i < n; ++i) {
            const float* row = models.logits[model] + i * classes;
            double sum = 0;
            const double largest = *std::max_element(row, row + classes);
            for (std::int64_t k = 0; k < classes; ++k) sum += std::exp(row[k] - largest);
            for (std::int64_t k = 0; k < classes; ++k)
                models.dlogits[model][i * classes + k] =
                    push_to[i] < 0
                        ? 0
                        : static_cast<float>(std::exp(row[k] - largest) / sum - (k == push_to[i]));
            const bool as_target = argmax(row, classes) == target[i];
            fooled += target[i] >= 0 && as_target == (direction == AttackDirection::towards);
        }
        state->fooled = std::min(state->fooled, fooled);
    }
    const double share = static_cast<double>(state->fooled) / std::max(state->unmasked, 1);
    if (share > stop_share) state->stopped = 1;
    if (!state->stopped) ++state->gradients;
}

void attack_account(const AttackState* state, double* sums) {
    sums[0] += static_cast<double>(state->fooled) / std::max(state->unmasked, 1);
    sums[1] += state->gradients;
}

void attack_reached(const float* logits, std::int64_t n, std::int64_t classes,
                    const std::int32_t* predicted, std::int32_t* target, std::int32_t* route) {
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int32_t reached = argmax(logits + i * classes, classes);
        target[i] = reached == predicted[i] ? -1 : reached;
        route[i] = std::max(target[i], 0);
    }
}

void strongest_other(const float* logits, std::int64_t n, std::int64_t classes,
                     const std::int32_t* labels, std::int32_t* others) {
    for (std::int64_t i = 0; i < n; ++i) {
        const float* row = logits + i * classes;
        std::int64_t best = labels[i] == 0 ? 1 : 0;
        for (std::int64_t k = best + 1; k < classes; ++k)
            if (k != labels[i] && row[k] > row[best]) best = k;
        others[i] = static_cast<std::int32_t>(best);
    }
}

}  // namespace cnpd::kernels::reference
