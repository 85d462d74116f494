// Kernels in which every thread takes elements of one long range.
#pragma once

#include <algorithm>

#include "kernels/common/cuda.h"

namespace cnpd::kernels {

// for (std::int64_t i = first_element(); i < count; i += elements_at_once())
__device__ inline std::int64_t first_element() {
    return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t elements_at_once() {
    return static_cast<std::int64_t>(gridDim.x) * blockDim.x;
}

// Enough threads to fill the GPU several times over, at most one for each element; `count` becomes
// the kernel's last argument. Nothing happens when there are no elements.
template <typename... Parameters, typename... Arguments>
void launch_elements(const char* name, std::int64_t count, void (*kernel)(Parameters...),
                     Arguments... arguments) {
    constexpr std::int64_t kThreads = 256, kMostBlocks = 132 * 32;
    if (count == 0) return;
    const auto blocks = std::min(static_cast<std::int64_t>(ceil_div(count, kThreads)), kMostBlocks);
    launch({.name = name, .grid = static_cast<unsigned>(blocks), .block = kThreads}, kernel,
           arguments..., count);
}

}  // namespace cnpd::kernels
