// One warp a row, as in kernels/softmax_cross_entropy: what were two losses with their backward
// kernels, four counts, and a decision on the host is one visit to the logits, 8 bytes each. The
// counts are integers, so their order does not matter; the block that is done last decides.
#include "kernels/attack_loss/attack_loss.h"

#include "kernels/common/device_workspace.h"
#include "kernels/common/gpu.h"
#include "kernels/common/logit_rows.h"

namespace cnpd::kernels::cuda {
namespace {

template <int Width>
__global__ void start(const float* logits, std::int64_t n, std::int64_t classes,
                      const std::int32_t* push_to, AttackLabels labels, AttackState* state) {
    int unmasked = 0;
    for (std::int64_t r = first_warp(); r < n; r += warps_at_once()) {
        const std::int32_t predicted = argmax_of_row<Width>(logits + r * classes, classes);
        const bool masked = push_to[r] < 0 || push_to[r] == predicted;
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
    unsigned finished;  // blocks
};

// Pushes row r of one model and returns whether it is fooled.
template <int Width>
__device__ bool push(const float* logits, float* dlogits, std::int64_t r, std::int64_t classes,
                     std::int32_t push_to, std::int32_t target) {
    const float* const row = logits + r * classes;
    const float maximum = largest<Width>(row, classes);
    const auto factor = static_cast<float>(1 / sum_of_exponentials<Width>(row, classes, maximum));
    const std::int32_t predicted = argmax_of_row<Width>(row, classes);
    transform_row<Width>(row, classes, dlogits + r * classes, [=](std::int64_t k, float logit) {
        return expf(logit - maximum) * factor - (k == push_to ? 1.0f : 0.0f);
    });
    return predicted == target;
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
                          double stop_share, Counts* counts, AttackState* state) {
    const bool two = models.logits[1] != nullptr;
    int fooled[2] = {0, 0};
    for (std::int64_t r = first_warp(); r < n; r += warps_at_once()) {
        fooled[0] +=
            push<Width>(models.logits[0], models.dlogits[0], r, classes, push_to[r], target[r]);
        if (two)
            fooled[1] +=
                push<Width>(models.logits[1], models.dlogits[1], r, classes, push_to[r], target[r]);
    }
    if (lane() == 0)
        for (int model = 0; model < 2; ++model)
            if (fooled[model] > 0) atomicAdd(&counts->fooled[model], fooled[model]);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0 && atomicAdd(&counts->finished, 1u) == gridDim.x - 1) {
        __threadfence();
        decide(*counts, two, stop_share, state);
    }
}

__global__ void account(const AttackState* state, double* sums) {
    sums[0] += static_cast<double>(state->fooled) / max(state->unmasked, 1);
    sums[1] += state->gradients;
}

}  // namespace

void attack_start(const float* logits, std::int64_t n, std::int64_t classes,
                  const std::int32_t* push_to, const AttackLabels& labels, AttackState* state) {
    gpu::set_zero(state, sizeof(AttackState));
    const int width = widest_access_of_rows(classes, logits);
    launch_rows("attack_start", n, width == 4 ? start<4> : start<1>, logits, n, classes, push_to,
                labels, state);
}

void attack_loss(const AttackedModels& models, std::int64_t n, std::int64_t classes,
                 const std::int32_t* push_to, const std::int32_t* target, double stop_share,
                 AttackState* state) {
    const DeviceWorkspace counts(sizeof(Counts));
    gpu::set_zero(counts.data(), sizeof(Counts));
    const int width = models.logits[1]
                          ? widest_access_of_rows(classes, models.logits[0], models.dlogits[0],
                                                  models.logits[1], models.dlogits[1])
                          : widest_access_of_rows(classes, models.logits[0], models.dlogits[0]);
    launch_rows("attack_loss", n, width == 4 ? push_rows<4> : push_rows<1>, models, n, classes,
                push_to, target, stop_share, counts.as<Counts>(), state);
}

void attack_account(const AttackState* state, double* sums) {
    launch({.name = "attack_account", .grid = 1, .block = 1}, account, state, sums);
}

}  // namespace cnpd::kernels::cuda
