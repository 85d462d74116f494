// A warp for each sample: two softmaxes, four terms, both gradients. It handles a few kilobytes and
// some thousand exponentials, so the launch dominates: there is only one, and it computes in
// double.
#include "kernels/defense_loss/defense_loss.h"

#include "kernels/common/cuda.h"
#include "kernels/common/device_workspace.h"
#include "kernels/common/gpu.h"
#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32, kTerms = 4;

// One row of logits, its classes distributed over the lanes of a warp.
struct Row {
    const float* logits;
    std::int64_t classes;

    template <typename Visit>
    __device__ void for_each(const Visit& visit) const {
        for (std::int64_t k = threadIdx.x % 32; k < classes; k += 32) visit(k);
    }
    __device__ double maximum() const {
        double largest = -INFINITY;
        for_each([&](std::int64_t k) { largest = fmax(largest, double{logits[k]}); });
        return warp_reduce(largest, Maximum{});
    }
};

struct Softmax {
    double maximum, sum;

    __device__ explicit Softmax(const Row& row) : maximum(row.maximum()), sum(0) {
        row.for_each([&](std::int64_t k) { sum += exp(row.logits[k] - maximum); });
        sum = warp_sum(sum);
    }
    __device__ double probability(const Row& row, std::int64_t k) const {
        return exp(row.logits[k] - maximum) / sum;
    }
    __device__ double cross_entropy(const Row& row, std::int64_t label) const {
        return maximum + log(sum) - row.logits[label];
    }
};

// The class with the largest logit except `label`, the first of equals.
struct Candidate {
    float logit;
    int k;
};
struct Stronger {
    __device__ Candidate operator()(const Candidate& a, const Candidate& b) const {
        return b.logit > a.logit || (b.logit == a.logit && b.k < a.k) ? b : a;
    }
};
__device__ std::int64_t strongest_wrong_class(const Row& row, std::int64_t label) {
    Candidate best{-INFINITY, static_cast<int>(row.classes)};
    row.for_each([&](std::int64_t k) {
        if (k != label) best = Stronger{}(best, {row.logits[k], static_cast<int>(k)});
    });
    for (int distance = 16; distance > 0; distance /= 2)
        best = Stronger{}(best, {__shfl_xor_sync(kAllLanes, best.logit, distance),
                                 __shfl_xor_sync(kAllLanes, best.k, distance)});
    return best.k;
}

// -log(1.0001 - p), and w times the factor of its gradient.
struct PushAway {
    double loss, slope;
    __device__ PushAway(double p, double weight)
        : loss(-log(1.0001 - p)), slope(weight * p / (1.0001 - p)) {}
};

struct Problem {
    std::int64_t n, classes;
    const float *clean, *adversarial;
    DefenseLossLabels labels;
    DefenseLossWeights weights;
    float *dclean, *dadversarial;
};

__device__ double clean_term(const Problem& p, std::int64_t n) {
    const Row row{p.clean + n * p.classes, p.classes};
    const Softmax softmax(row);
    const std::int64_t label = p.labels.label[n];
    const double share = p.weights.clean / static_cast<double>(p.n);
    row.for_each([&](std::int64_t k) {
        p.dclean[n * p.classes + k] =
            static_cast<float>(share * (softmax.probability(row, k) - (k == label)));
    });
    return softmax.cross_entropy(row, label);
}

__device__ void adversarial_terms(const Problem& p, std::int64_t n, double unmasked,
                                  double (&terms)[kTerms]) {
    const Row row{p.adversarial + n * p.classes, p.classes};
    float* const gradient = p.dadversarial + n * p.classes;
    const std::int64_t target = p.labels.target[n];
    if (target < 0) {
        row.for_each([&](std::int64_t k) { gradient[k] = 0; });
        return;
    }
    const Softmax softmax(row);
    const std::int64_t restored = p.labels.restored[n];
    const std::int64_t strongest = strongest_wrong_class(row, p.labels.label[n]);
    const PushAway from_strongest(softmax.probability(row, strongest), p.weights.strongest);
    const PushAway from_target(softmax.probability(row, target), p.weights.target);
    row.for_each([&](std::int64_t k) {
        const double probability = softmax.probability(row, k);
        gradient[k] = static_cast<float>((p.weights.undo * (probability - (k == restored)) +
                                          from_strongest.slope * ((k == strongest) - probability) +
                                          from_target.slope * ((k == target) - probability)) /
                                         unmasked);
    });
    terms[1] = softmax.cross_entropy(row, restored);
    terms[2] = from_strongest.loss;
    terms[3] = from_target.loss;
}

// of_row [N,4]: the terms of each sample; the block of the warp that finishes last adds them up, in
// the order of the samples. `finished` counts warps and must be 0 before.
__global__ void __launch_bounds__(kThreads)
    loss_of_batch(Problem p, double* of_row, unsigned* finished, float* loss, float* terms) {
    __shared__ int last;  // whether this block finishes last
    if (threadIdx.x == 0) last = 0;
    double count = 0;
    for (std::int64_t n = threadIdx.x; n < p.n; n += kThreads) count += p.labels.target[n] >= 0;
    const double unmasked = block_sum<kThreads>(count);

    const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
    if (n < p.n) {
        double row_terms[kTerms] = {clean_term(p, n), 0, 0, 0};
        adversarial_terms(p, n, unmasked, row_terms);
        if (threadIdx.x % 32 == 0)
            for (int term = 0; term < kTerms; ++term) of_row[n * kTerms + term] = row_terms[term];
    }
    __threadfence();
    if (threadIdx.x % 32 == 0 && atomicAdd(finished, 1u) == gridDim.x * kWarps - 1) last = 1;
    __syncthreads();
    if (!last) return;
    __threadfence();
    for (int term = 0; term < kTerms; ++term) {
        double sum = 0;
        for (std::int64_t i = threadIdx.x; i < p.n; i += kThreads) sum += of_row[i * kTerms + term];
        sum = block_sum<kThreads>(sum);
        const double over = term == 0 ? static_cast<double>(p.n) : unmasked;
        if (threadIdx.x == 0) terms[term] = static_cast<float>(over > 0 ? sum / over : 0);
    }
    if (threadIdx.x == 0) *loss = p.weights.sum(terms);
}

}  // namespace

void defense_loss(std::int64_t n, std::int64_t classes, const float* clean,
                  const float* adversarial, const DefenseLossLabels& labels,
                  const DefenseLossWeights& weights, float* loss, float* terms, float* dclean,
                  float* dadversarial) {
    if (n == 0) {
        gpu::set_zero(loss, sizeof(float));
        return gpu::set_zero(terms, kTerms * sizeof(float));
    }
    const DeviceWorkspace of_row(static_cast<std::size_t>(n) * kTerms * sizeof(double));
    const DeviceWorkspace finished(sizeof(unsigned));
    gpu::set_zero(finished.data(), sizeof(unsigned));
    const Problem problem{.n = n,
                          .classes = classes,
                          .clean = clean,
                          .adversarial = adversarial,
                          .labels = labels,
                          .weights = weights,
                          .dclean = dclean,
                          .dadversarial = dadversarial};
    launch({.name = "defense_loss", .grid = ceil_div(n, kWarps), .block = kThreads}, loss_of_batch,
           problem, of_row.as<double>(), finished.as<unsigned>(), loss, terms);
}

}  // namespace cnpd::kernels::cuda
