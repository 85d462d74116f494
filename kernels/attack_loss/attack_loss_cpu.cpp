#include <algorithm>

#include "kernels/attack_loss/attack_loss.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cnpd::kernels::cpu {

void attack_start(const float* logits, std::int64_t n, std::int64_t classes,
                  const std::int32_t* push_to, AttackDirection direction,
                  const AttackLabels& labels, AttackState* state) {
    argmax(logits, n, classes, labels.predicted);
    *state = {};
    for (std::int64_t i = 0; i < n; ++i) {
        const bool as_pushed = push_to[i] == labels.predicted[i];
        const bool masked = push_to[i] < 0 || as_pushed == (direction == AttackDirection::towards);
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
        const float* const logits = models.logits[model];
        if (!logits) continue;
        const float one = 1;
        softmax_cross_entropy_backward(logits, push_to, n, classes, 0, &one, models.dlogits[model]);
        std::int64_t fooled = 0;
        count_matches(logits, n, classes, target, 1, &fooled);
        if (direction == AttackDirection::away) fooled = state->unmasked - fooled;
        state->fooled = std::min(state->fooled, static_cast<std::int32_t>(fooled));
    }
    const double share = static_cast<double>(state->fooled) / std::max(state->unmasked, 1);
    if (share > stop_share) state->stopped = 1;
    if (!state->stopped) ++state->gradients;
}

void attack_account(const AttackState* state, double* sums) {
    reference::attack_account(state, sums);
}

void attack_reached(const float* logits, std::int64_t n, std::int64_t classes,
                    const std::int32_t* predicted, std::int32_t* target, std::int32_t* route) {
    argmax(logits, n, classes, target);
    for (std::int64_t i = 0; i < n; ++i) {
        if (target[i] == predicted[i]) target[i] = -1;
        route[i] = std::max(target[i], 0);
    }
}

// Only comparisons: the reference needs no double arithmetic and is fast enough.
void strongest_other(const float* logits, std::int64_t n, std::int64_t classes,
                     const std::int32_t* labels, std::int32_t* others) {
    reference::strongest_other(logits, n, classes, labels, others);
}

}  // namespace cnpd::kernels::cpu
