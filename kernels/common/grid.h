// Kernels whose threads share the elements of one long range.
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

// Grids are sized for a GPU with about this many multiprocessors (an H100); smaller GPUs take
// longer.
constexpr std::int64_t kMultiprocessors = 132;

// Enough threads to fill the GPU several times, at most one for each of `count` > 0 elements.
inline LaunchShape elements_shape(const char* name, std::int64_t count) {
    constexpr std::int64_t kThreads = 256, kMostBlocks = kMultiprocessors * 32;
    const std::int64_t blocks = std::min((count + kThreads - 1) / kThreads, kMostBlocks);
    return {.name = name, .grid = static_cast<unsigned>(blocks), .block = kThreads};
}

// `count` becomes the kernel's last argument. Does nothing if there are no elements.
template <typename... Parameters, typename... Arguments>
void launch_elements(const char* name, std::int64_t count, void (*kernel)(Parameters...),
                     Arguments... arguments) {
    if (count == 0) return;
    launch(elements_shape(name, count), kernel, arguments..., count);
}

}  // namespace cnpd::kernels
