// Means and variances that are merged from parts.
#pragma once

#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels {

// Count, mean and sum of squared deviations: merging two of them is numerically stable (Chan, Golub
// and LeVeque, 1979).
struct Moments {
    float count, mean, squares;
};
__device__ inline Moments merge(const Moments& a, const Moments& b) {
    if (b.count == 0) return a;
    const float count = a.count + b.count;
    const float difference = b.mean - a.mean;
    return {count, a.mean + difference * (b.count / count),
            a.squares + b.squares + difference * difference * (a.count * b.count / count)};
}

// Returns the warp's moments in the first lane. All 32 lanes take part.
__device__ inline Moments merge_warp(Moments mine) {
    for (int distance = warpSize / 2; distance > 0; distance /= 2)
        mine = merge(mine, {__shfl_down_sync(kAllLanes, mine.count, distance),
                            __shfl_down_sync(kAllLanes, mine.mean, distance),
                            __shfl_down_sync(kAllLanes, mine.squares, distance)});
    return mine;
}

}  // namespace cnpd::kernels
