// Sums and maxima over the threads of a warp and of a block, in an order that does not depend on
// timing.
#pragma once

#include "kernels/common/cuda.h"

namespace cnpd::kernels {

constexpr unsigned kAllLanes = 0xFFFFFFFFu;

struct Sum {
    template <typename T>
    __device__ T operator()(T a, T b) const {
        return a + b;
    }
};
struct Maximum {
    template <typename T>
    __device__ T operator()(T a, T b) const {
        return a > b ? a : b;
    }
};

// Every lane gets the result. All 32 lanes take part.
template <typename T, typename Combine>
__device__ T warp_reduce(T value, Combine combine) {
    for (int distance = warpSize / 2; distance > 0; distance /= 2)
        value = combine(value, __shfl_xor_sync(kAllLanes, value, distance));
    return value;
}
template <typename T>
__device__ T warp_sum(T value) {
    return warp_reduce(value, Sum{});
}

// Every thread of the block gets the result. All threads take part; Threads is their number, a
// multiple of 32, and blocks are one-dimensional.
template <int Threads, typename T, typename Combine>
__device__ T block_reduce(T value, Combine combine) {
    constexpr int kWarps = Threads / 32;
    static_assert(Threads % 32 == 0 && kWarps <= 32);
    __shared__ T of_warp[kWarps];
    value = warp_reduce(value, combine);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    T total = of_warp[0];
    for (int warp = 1; warp < kWarps; ++warp) total = combine(total, of_warp[warp]);
    __syncthreads();  // of_warp may be written again
    return total;
}
template <int Threads, typename T>
__device__ T block_sum(T value) {
    return block_reduce<Threads>(value, Sum{});
}

}  // namespace cnpd::kernels
