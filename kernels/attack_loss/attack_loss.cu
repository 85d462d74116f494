// One warp per row, as in kernels/softmax_cross_entropy. Two losses, their backward passes, four
// counts and the decision to stop read and write the logits once, 8 bytes each. The counts are
// integers, so their order does not matter; the warp that finishes last decides.
#include "kernels/attack_loss/attack_loss.h"

#include "kernels/common/device_workspace.h"
#include "kernels/common/gpu.h"
#include "kernels/common/logit_rows.h"

namespace cnpd::kernels::cuda {
namespace {

template <int Width>
__global__ void start(const float* logits, std::int64_t n, std::int64_t classes,
                      const std::int32_t* push_to, AttackDirection direction, AttackLabels labels,
                      AttackState* state) {
    int unmasked = 0;
    for (std::int64_t r = first_warp(); r < n; r += warps_at_once()) {
        const std::int32_t predicted = argmax_of_row<Width>(logits + r * classes, classes);
        const bool there = (push_to[r] == predicted) == (direction == AttackDirection::towards);
        const bool masked = push_to[r] < 0 || there;
        if (lane() == 0) {
            labels.predicted[r] = predicted;
            labels.target[r] = masked ? -1 : push_to[r];
            labels.route[r] = masked ? 0 : push_to[r];
        }
        unmasked += !masked;
    }
    if (lane() == 0 && unmasked > 0) atomicAdd(&state->unmasked, unmasked);
}

struct Counts {
    int fooled[2];
    unsigned finished;  // warps
};

// Pushes row r of one model and returns whether it is fooled.
template <int Width>
__device__ bool push(const float* logits, float* dlogits, std::int64_t r, std::int64_t classes,
                     std::int32_t push_to, std::int32_t target, AttackDirection direction) {
    const float* const row = logits + r * classes;
    const float maximum = largest<Width>(row, classes);
    const auto factor = static_cast<float>(1 / sum_of_exponentials<Width>(row, classes, maximum));
    const std::int32_t predicted = argmax_of_row<Width>(row, classes);
    transform_row<Width>(row, classes, dlogits + r * classes, [=](std::int64_t k, float logit) {
        if (push_to < 0) return 0.0f;
        return expf(logit - maximum) * factor - (k == push_to ? 1.0f : 0.0f);
    });
    return target >= 0 && (predicted == target) == (direction == AttackDirection::towards);
}

__device__ void decide(const Counts& counts, bool two, double stop_share, AttackState* state) {
    const int fooled = two ? min(counts.fooled[0], counts.fooled[1]) : counts.fooled[0];
    state->fooled = fooled;
    if (static_cast<double>(fooled) / max(state->unmasked, 1) > stop_share) state->stopped = 1;
    if (!state->stopped) ++state->gradients;
}

template <int Width>
__global__ void push_rows(AttackedModels models, std::int64_t n, std::int64_t classes,
                          const std::int32_t* push_to, const std::int32_t* target,
                          AttackDirection direction, double stop_share, Counts* counts,
                          AttackState* state) {
    const bool two = models.logits[1] != nullptr;
    int fooled[2] = {0, 0};
    const auto push_row = [&](int model, std::int64_t r) {
        fooled[model] += push<Width>(models.logits[model], models.dlogits[model], r, classes,
                                     push_to[r], target[r], direction);
    };
    for (std::int64_t r = first_warp(); r < n; r += warps_at_once()) {
        push_row(0, r);
        if (two) push_row(1, r);
    }
    if (lane() != 0) return;
    for (int model = 0; model < 2; ++model)
        if (fooled[model] > 0) atomicAdd(&counts->fooled[model], fooled[model]);
    __threadfence();
    if (atomicAdd(&counts->finished, 1u) == warps_at_once() - 1) {
        __threadfence();
        decide(*counts, two, stop_share, state);
    }
}

template <int Width>
__global__ void reached(const float* logits, std::int64_t n, std::int64_t classes,
                        const std::int32_t* predicted, std::int32_t* target, std::int32_t* route) {
    for (std::int64_t r = first_warp(); r < n; r += warps_at_once()) {
        const std::int32_t there = argmax_of_row<Width>(logits + r * classes, classes);
        if (lane() != 0) continue;
        const bool moved = there != predicted[r];
        target[r] = moved ? there : -1;
        route[r] = moved ? there : 0;
    }
}

template <int Width>
__global__ void others_of_rows(const float* logits, std::int64_t n, std::int64_t classes,
                               const std::int32_t* labels, std::int32_t* others) {
    for (std::int64_t r = first_warp(); r < n; r += warps_at_once()) {
        const std::int32_t other =
            argmax_of_row<Width>(logits + r * classes, classes, /*except=*/labels[r]);
        if (lane() == 0) others[r] = other;
    }
}

__global__ void account(const AttackState* state, double* sums) {
    sums[0] += static_cast<double>(state->fooled) / max(state->unmasked, 1);
    sums[1] += state->gradients;
}

}  // namespace

void attack_start(const float* logits, std::int64_t n, std::int64_t classes,
                  const std::int32_t* push_to, AttackDirection direction,
                  const AttackLabels& labels, AttackState* state) {
    gpu::set_zero(state, sizeof(AttackState));
    const int width = widest_access_of_rows(classes, logits);
    launch_rows("attack_start", n, width == 4 ? start<4> : start<1>, logits, n, classes, push_to,
                direction, labels, state);
}

void attack_loss(const AttackedModels& models, std::int64_t n, std::int64_t classes,
                 const std::int32_t* push_to, const std::int32_t* target, AttackDirection direction,
                 double stop_share, AttackState* state) {
    const DeviceWorkspace counts(sizeof(Counts));
    gpu::set_zero(counts.data(), sizeof(Counts));
    const int width = models.logits[1]
                          ? widest_access_of_rows(classes, models.logits[0], models.dlogits[0],
                                                  models.logits[1], models.dlogits[1])
                          : widest_access_of_rows(classes, models.logits[0], models.dlogits[0]);
    launch_rows("attack_loss", n, width == 4 ? push_rows<4> : push_rows<1>, models, n, classes,
                push_to, target, direction, stop_share, counts.as<Counts>(), state);
}

void attack_reached(const float* logits, std::int64_t n, std::int64_t classes,
                    const std::int32_t* predicted, std::int32_t* target, std::int32_t* route) {
    const int width = widest_access_of_rows(classes, logits);
    launch_rows("attack_reached", n, width == 4 ? reached<4> : reached<1>, logits, n, classes,
                predicted, target, route);
}

void strongest_other(const float* logits, std::int64_t n, std::int64_t classes,
                     const std::int32_t* labels, std::int32_t* others) {
    const int width = widest_access_of_rows(classes, logits);
    launch_rows("strongest_other", n, width == 4 ? others_of_rows<4> : others_of_rows<1>, logits, n,
                classes, labels, others);
}

void attack_account(const AttackState* state, double* sums) {
    launch({.name = "attack_account", .grid = 1, .block = 1}, account, state, sums);
}

}  // namespace cnpd::kernels::cuda
