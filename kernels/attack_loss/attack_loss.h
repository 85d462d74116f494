// The part of the inner maximisation between forward and backward passes: which examples still have
// to be pushed, the gradient that pushes them, and whether enough are fooled. All of it stays on
// the device, so that a whole step of the defense can be recorded as one graph. The PGD steps
// (kernels/pgd) read AttackState::stopped.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct AttackState {
    std::int32_t stopped;    // 1: enough examples are fooled; else 0
    std::int32_t gradients;  // computed so far
    std::int32_t fooled;     // examples with a target that are classified as it, at the last count,
                             // by the model that fewer of them fool
    std::int32_t unmasked;   // examples that have a target
};

// Direction of an attack: towards a class, or away from one.
enum class AttackDirection { towards, away };

struct AttackLabels {
    std::int32_t* predicted;  // [N] of the clean images
    std::int32_t* target;     // [N] the class of `push_to`; negative: masked, because the image is
                              // classified as intended already
    std::int32_t* route;      // [N] whose polarizer an example uses: its target's, and 0 if it
                              // has no target
};

// Start of an attack that pushes images to the classes push_to [N], from the logits [N,classes] of
// the clean images. A negative push_to masks its image.
CNPD_KERNEL(void attack_start(const float* logits, std::int64_t n, std::int64_t classes,
                              const std::int32_t* push_to, AttackDirection direction,
                              const AttackLabels& labels, AttackState* state))

// The one or two models that are attacked at once.
struct AttackedModels {
    const float* logits[2];  // [N,classes] of the adversarial images; the second may be null
    float* dlogits[2];       // [N,classes]
};

// dlogits = softmax(logits) - onehot(push_to), the gradient of the sum of cross-entropies against
// push_to [N]; 0 where push_to is negative. Also updates the state: `fooled` is counted by target
// [N]; `stopped` is set if it was set before or if the share of unmasked examples that are fooled
// exceeds stop_share; otherwise `gradients` is incremented. An example is fooled if it is
// classified as the target or, with `away`, as any other class. (The sign of the PGD step selects
// the direction: see kernels/pgd.) N is at least 1.
CNPD_KERNEL(void attack_loss(const AttackedModels& models, std::int64_t n, std::int64_t classes,
                             const std::int32_t* push_to, const std::int32_t* target,
                             AttackDirection direction, double stop_share, AttackState* state))

// Targets after an untargeted attack: target = route = the argmax of an example's logits, or -1 and
// 0 if that is still `predicted`.
CNPD_KERNEL(void attack_reached(const float* logits, std::int64_t n, std::int64_t classes,
                                const std::int32_t* predicted, std::int32_t* target,
                                std::int32_t* route))

// others [N] = the class of the largest logit except labels [N], the first of equals. Needs at
// least 2 classes and no NaN.
CNPD_KERNEL(void strongest_other(const float* logits, std::int64_t n, std::int64_t classes,
                                 const std::int32_t* labels, std::int32_t* others))

// sums [2] += { share of unmasked examples that are fooled, gradients }
CNPD_KERNEL(void attack_account(const AttackState* state, double* sums))

}  // namespace cnpd::kernels
