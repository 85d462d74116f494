// The inner maximisation between its forward passes and its backward ones: which examples still
// have to be pushed, the gradient that pushes them, and whether enough are fooled. All of it stays
// on the device, so that a whole step of the defense can be recorded as one graph; the PGD steps
// (kernels/pgd) look at AttackState::stopped themselves.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct AttackState {
    std::int32_t stopped;    // 1 once enough examples are fooled, else 0
    std::int32_t gradients;  // that were taken before
    std::int32_t fooled;     // examples of a target that are classified as it, when last looked at,
                             // by the model that is fooled least
    std::int32_t unmasked;   // examples that have a target
};

// Where an attack drives its examples: to a class, or away from one.
enum class AttackDirection { towards, away };

struct AttackLabels {
    std::int32_t* predicted;  // [N] of the clean images
    std::int32_t* target;     // [N] the class of `push_to`; negative: masked, for the image is
                              // where it is to be driven already
    std::int32_t* route;      // [N] whose polarizer an example goes through: its target's, and 0
                              // where it has none
};

// What an attack that pushes images to the classes push_to [N] starts from: logits [N,classes] of
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
// push_to [N], and 0 where that is negative; and the state: `fooled` anew by target [N], `stopped`
// when the share of the unmasked that is fooled is above stop_share or it was set before, and one
// gradient more unless it is. Fooled is who is classified as the target, or with `away` as another
// class. (The step's sign makes the difference between the directions: see kernels/pgd.) N is at
// least 1.
CNPD_KERNEL(void attack_loss(const AttackedModels& models, std::int64_t n, std::int64_t classes,
                             const std::int32_t* push_to, const std::int32_t* target,
                             AttackDirection direction, double stop_share, AttackState* state))

// Where examples have been driven that were only driven away: target = the argmax of their logits
// and route likewise, or -1 and 0 where that is `predicted` still.
CNPD_KERNEL(void attack_reached(const float* logits, std::int64_t n, std::int64_t classes,
                                const std::int32_t* predicted, std::int32_t* target,
                                std::int32_t* route))

// others [N] = the class of the largest logit except labels [N], the first of equals. At least 2
// classes; no NaN.
CNPD_KERNEL(void strongest_other(const float* logits, std::int64_t n, std::int64_t classes,
                                 const std::int32_t* labels, std::int32_t* others))

// sums [2] += { share of the unmasked that is fooled, gradients }
CNPD_KERNEL(void attack_account(const AttackState* state, double* sums))

}  // namespace cnpd::kernels
