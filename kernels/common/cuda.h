// Included by every .cu file: the CUDA language, NVIDIA's or the emulator's, and the functions that
// launch a kernel.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef CNPD_EMULATED
#include "kernels/emulator/bf16.h"
#include "kernels/emulator/block.h"
#include "kernels/emulator/cuda.h"
#include "kernels/emulator/wmma.h"
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <mma.h>
#endif

#include "kernels/common/gpu.h"

namespace cnpd::kernels {

struct LaunchShape {
    const char* name;  // of the operation, for error messages
    dim3 grid, block;
    std::size_t dynamic_shared = 0;  // bytes
    // Neighbouring blocks in x that form a cluster (Hopper): what the kernel's __cluster_dims__
    // says, which the emulator cannot see.
    unsigned cluster = 1;
};

inline unsigned ceil_div(std::int64_t a, std::int64_t b) {
    return static_cast<unsigned>((a + b - 1) / b);
}

#ifdef CNPD_EMULATED

namespace detail {
// The emulator's own reads of a launch's arguments are not accesses of the kernel.
#define CNPD_UNCHECKED __attribute__((no_sanitize("thread")))
template <typename Closure>
CNPD_UNCHECKED void call(const void* closure) {
    (*static_cast<const Closure*>(closure))();
}
}  // namespace detail

// Runs kernel(arguments...) for every thread of the grid, in order on the current stream:
// immediately, or on every replay if a graph is being captured. Throws emulator::KernelFault.
template <typename... Parameters, typename... Arguments>
void launch(const LaunchShape& shape, void (*kernel)(Parameters...), Arguments... arguments) {
    gpu::enqueue([=] {
        const auto thread = [&]() CNPD_UNCHECKED { kernel(static_cast<Parameters>(arguments)...); };
        emulator::launch({.name = shape.name,
                          .grid = shape.grid,
                          .block = shape.block,
                          .dynamic_shared = shape.dynamic_shared,
                          .cluster = shape.cluster},
                         {detail::call<decltype(thread)>, &thread});
    });
}

// T* name: the block's dynamic shared memory.
#define CNPD_DYNAMIC_SHARED(T, name) \
    T* const name = static_cast<T*>(::cnpd::kernels::emulator::dynamic_shared())

#else

// Launches kernel(arguments...) on the current stream. Throws gpu::CudaError, which names the
// operation.
template <typename... Parameters, typename... Arguments>
void launch(const LaunchShape& shape, void (*kernel)(Parameters...), Arguments... arguments) {
    constexpr std::size_t kWithoutAsking = 48 << 10;
    if (shape.dynamic_shared > kWithoutAsking)
        gpu::check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(shape.dynamic_shared)),
                   shape.name);
    cudaLaunchConfig_t config{};
    config.gridDim = shape.grid;
    config.blockDim = shape.block;
    config.dynamicSmemBytes = shape.dynamic_shared;
    config.stream = static_cast<cudaStream_t>(gpu::current_stream());
    if (shape.cluster > 1) {
        cudaFuncAttributes of{};
        gpu::check(cudaFuncGetAttributes(&of, kernel), shape.name);
        if (of.requiredClusterWidth != static_cast<int>(shape.cluster))
            gpu::check(cudaErrorInvalidClusterSize, shape.name);
    }
    gpu::check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...),
               shape.name);
}

#define CNPD_DYNAMIC_SHARED(T, name)                                      \
    extern __shared__ __align__(128) unsigned char cnpd_dynamic_shared[]; \
    T* const name = reinterpret_cast<T*>(cnpd_dynamic_shared)

#endif

}  // namespace cnpd::kernels
