// The attention of one class, by one warp. For .cu files.
#pragma once

#include "kernels/common/cuda.h"
#include "kernels/common/warp_reduce.h"
#include "kernels/router/router.h"

namespace cnpd::kernels::cuda {

// row [experts] = softmax(queries[y] . keys / sqrt(width)); a lane for each 32nd expert.
__device__ inline void attend(const AttentionShape& s, const float* queries, const float* keys,
                              std::int64_t y, float* row) {
    const auto lane = static_cast<int>(threadIdx.x % 32);
    const float scale = 1 / sqrtf(static_cast<float>(s.width));
    float largest = -INFINITY;
    for (std::int64_t m = lane; m < s.experts; m += 32) {
        float score = 0;
        for (std::int64_t i = 0; i < s.width; ++i)
            score += queries[y * s.width + i] * keys[m * s.width + i];
        row[m] = scale * score;
        largest = fmaxf(largest, row[m]);
    }
    largest = warp_reduce(largest, Maximum{});
    float sum = 0;
    for (std::int64_t m = lane; m < s.experts; m += 32) sum += row[m] = expf(row[m] - largest);
    sum = warp_sum(sum);
    for (std::int64_t m = lane; m < s.experts; m += 32) row[m] /= sum;
}

}  // namespace cnpd::kernels::cuda
