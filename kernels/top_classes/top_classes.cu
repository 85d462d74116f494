// A warp for each row: k passes, each of which finds the largest logit after the last one. 4 N
// classes bytes from memory, then from the L1 cache; for few classes the limit is the launch.
#include "kernels/top_classes/top_classes.h"

#include "kernels/common/cuda.h"
#include "kernels/common/grid.h"
#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels::cuda {
namespace {

struct Candidate {
    float logit;
    int label;  // negative: none
};
// Whether a comes before b: larger, or equal with a smaller label.
__device__ bool before(const Candidate& a, const Candidate& b) {
    if (b.label < 0) return a.label >= 0;
    return a.label >= 0 && (a.logit > b.logit || (a.logit == b.logit && a.label < b.label));
}

__device__ Candidate first_of_warp(Candidate mine) {
    for (int distance = warpSize / 2; distance > 0; distance /= 2) {
        const Candidate other{__shfl_xor_sync(kAllLanes, mine.logit, distance),
                              __shfl_xor_sync(kAllLanes, mine.label, distance)};
        if (before(other, mine)) mine = other;
    }
    return mine;
}

__global__ void find_top(const float* logits, std::int64_t n, int classes, int k,
                         std::int32_t* labels, float* weights) {
    const std::int64_t i = first_element() / 32;
    if (i >= n) return;  // whole warps
    const auto lane = static_cast<int>(threadIdx.x % 32);
    const float* const row = logits + i * classes;
    Candidate last{0, -1};
    float largest = 0, sum = 0;
    for (int j = 0; j < k; ++j) {
        Candidate best{0, -1};
        for (int y = lane; y < classes; y += 32) {
            const Candidate each{isnan(row[y]) ? -INFINITY : row[y], y};
            if ((j == 0 || before(last, each)) && before(each, best)) best = each;
        }
        last = first_of_warp(best);
        if (j == 0) largest = last.logit;
        const float weight = expf(last.logit - largest);
        sum += weight;
        if (lane == 0) {
            labels[j * n + i] = last.label;
            weights[j * n + i] = weight;
        }
    }
    __syncwarp();
    for (int j = lane; j < k; j += 32) weights[j * n + i] /= sum;
}

}  // namespace

void top_classes(const float* logits, std::int64_t n, std::int64_t classes, std::int64_t k,
                 std::int32_t* labels, float* weights) {
    constexpr int kWarps = 4;
    if (n == 0 || k == 0) return;
    launch({.name = "top_classes", .grid = ceil_div(n, kWarps), .block = 32 * kWarps}, find_top,
           logits, n, static_cast<int>(classes), static_cast<int>(k), labels, weights);
}

}  // namespace cnpd::kernels::cuda
