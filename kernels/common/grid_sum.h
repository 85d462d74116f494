// Sums over one long range: a partial sum per block, then a single block adds these up. The order
// depends on the count and on alignment alone, so results are reproducible.
#pragma once

#include <algorithm>

#include "kernels/common/device_workspace.h"
#include "kernels/common/grid.h"
#include "kernels/common/vector_access.h"
#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels {

constexpr int kSumThreads = 256;

// sums [blocks] of each block's terms
template <int Width, typename T, typename Terms>
__global__ void sum_terms(Terms terms, std::int64_t count, T* sums) {
    const std::int64_t packs = count / Width;
    T sum = 0;
    for (std::int64_t i = first_element(); i < packs; i += elements_at_once())
        sum += terms.template at<Width>(Width * i);
    if constexpr (Width > 1) {
        const std::int64_t left_over = Width * packs + first_element();
        if (left_over < count) sum += terms.template at<1>(left_over);
    }
    sum = block_sum<kSumThreads>(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

template <typename T>
struct PartialSums {
    const T* sums;
    template <int Width>
    __device__ T at(std::int64_t i) const {
        static_assert(Width == 1);
        return sums[i];
    }
};

// *result = sum of all terms, 0 if there are none. Terms is a struct with
//     template <int Width> __device__ T at(std::int64_t i) const;
// for the sum of the terms i to i + Width - 1; `buffers` are all buffers that it reads.
template <typename T, typename Terms, typename... Ts>
void launch_sum(const char* name, std::int64_t count, const Terms& terms, T* result,
                const Ts*... buffers) {
    // A thread sums several packs before another block pays off; 8 blocks of 256 threads fill a
    // multiprocessor.
    constexpr std::int64_t kPacksOfThread = 8, kMostBlocks = kMultiprocessors * 8;
    const int width = widest_access(buffers...);
    const auto blocks = static_cast<unsigned>(
        std::clamp<std::int64_t>(count / (width * kPacksOfThread * kSumThreads), 1, kMostBlocks));
    const auto kernel = width == 4 ? sum_terms<4, T, Terms> : sum_terms<1, T, Terms>;
    const LaunchShape single = {.name = name, .grid = 1, .block = kSumThreads};
    if (blocks == 1) return launch(single, kernel, terms, count, result);
    const DeviceWorkspace partial(blocks * sizeof(T));
    launch({.name = name, .grid = blocks, .block = kSumThreads}, kernel, terms, count,
           partial.as<T>());
    launch(single, sum_terms<1, T, PartialSums<T>>, PartialSums<T>{partial.as<T>()},
           static_cast<std::int64_t>(blocks), result);
}

}  // namespace cnpd::kernels
