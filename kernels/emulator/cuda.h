// The CUDA language for the host compiler: all of CUDA that the .cu files of this project may use.
// With this header instead of NVIDIA's, a kernel is an ordinary C++ function that can be debugged;
// block.h calls it for every thread of a block.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "kernels/emulator/warp.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
// Several blocks that run at the same time use their static shared variables in turn (state.h). The
// compiler calls memory_checks.cpp for every access to them.
#define __shared__ static

// --- Built-in types ------------------------------------------------------------------------------

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    constexpr dim3() = default;
    constexpr dim3(unsigned x_, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

inline float2 make_float2(float x, float y) {
    return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
inline int2 make_int2(int x, int y) {
    return {x, y};
}
inline int4 make_int4(int x, int y, int z, int w) {
    return {x, y, z, w};
}
inline uint2 make_uint2(unsigned x, unsigned y) {
    return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}

// --- Built-in variables: set before a thread continues -------------------------------------------

extern constinit thread_local uint3 threadIdx, blockIdx;
extern constinit thread_local dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// --- Synchronisation -----------------------------------------------------------------------------

inline void __syncthreads(std::source_location here = std::source_location::current()) {
    cnpd::kernels::emulator::block_barrier(here);
}
inline void __syncwarp(unsigned mask = ~0u,
                       std::source_location here = std::source_location::current()) {
    cnpd::kernels::emulator::warp_barrier(mask, here);
}
// Only one thread runs at a time, and memory is always consistent. Where several blocks run at a
// time, accesses that fences have to order are checked (global_checks.h).
inline void __threadfence(std::source_location here = std::source_location::current()) {
    cnpd::kernels::emulator::thread_fence(here);
}
inline void __threadfence_block() {}

// --- Warp shuffles and votes ---------------------------------------------------------------------

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    const int lane = cnpd::kernels::emulator::lane();
    return cnpd::kernels::emulator::shuffle(mask, value,
                                            (lane & ~(width - 1)) + (source & (width - 1)));
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32) {
    const int lane = cnpd::kernels::emulator::lane();
    const int source = lane ^ lane_mask;
    return cnpd::kernels::emulator::shuffle(mask, value,
                                            source / width > lane / width ? lane : source);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = cnpd::kernels::emulator::lane();
    const int source = lane + static_cast<int>(delta);
    return cnpd::kernels::emulator::shuffle(mask, value,
                                            source / width != lane / width ? lane : source);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = cnpd::kernels::emulator::lane();
    const int source = lane - static_cast<int>(delta);
    return cnpd::kernels::emulator::shuffle(mask, value,
                                            source < (lane & ~(width - 1)) ? lane : source);
}
inline unsigned __ballot_sync(unsigned mask, bool predicate) {
    return cnpd::kernels::emulator::ballot(mask, predicate);
}
inline bool __any_sync(unsigned mask, bool predicate) {
    return __ballot_sync(mask, predicate) != 0;
}
inline bool __all_sync(unsigned mask, bool predicate) {
    return __ballot_sync(mask, predicate) == mask;
}
template <typename T>
unsigned __match_any_sync(unsigned mask, T value) {
    return cnpd::kernels::emulator::match(mask, value);
}
inline unsigned __activemask() {
    return ~0u;
}

// --- Atomics: plain code, because threads only switch at barriers --------------------------------

template <typename T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
    return cnpd::kernels::emulator::atomically(address, [&](T old) { return old + value; });
}
template <typename T>
T atomicMax(T* address, std::type_identity_t<T> value) {
    return cnpd::kernels::emulator::atomically(address,
                                               [&](T old) { return std::max(old, value); });
}
template <typename T>
T atomicMin(T* address, std::type_identity_t<T> value) {
    return cnpd::kernels::emulator::atomically(address,
                                               [&](T old) { return std::min(old, value); });
}
template <typename T>
T atomicExch(T* address, std::type_identity_t<T> value) {
    return cnpd::kernels::emulator::atomically(address, [&](T) { return value; });
}
template <typename T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
    return cnpd::kernels::emulator::atomically(
        address, [&](T old) { return old == expected ? value : old; });
}

// --- Arithmetic ----------------------------------------------------------------------------------

using std::isfinite;
using std::isnan;
using std::max;
using std::min;

inline float rsqrtf(float x) {
    return 1 / std::sqrt(x);
}
inline double rsqrt(double x) {
    return 1 / std::sqrt(x);
}
inline float __expf(float x) {
    return std::exp(x);
}
inline float __logf(float x) {
    return std::log(x);
}
inline float __fdividef(float x, float y) {
    return x / y;
}
inline float __saturatef(float x) {
    return x > 0 ? std::min(x, 1.0f) : 0.0f;
}
inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
inline int __ffs(int x) {
    return __builtin_ffs(x);
}
inline int __clz(int x) {
    return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline int __float_as_int(float x) {
    return std::bit_cast<int>(x);
}
inline unsigned __float_as_uint(float x) {
    return std::bit_cast<unsigned>(x);
}
inline float __int_as_float(int x) {
    return std::bit_cast<float>(x);
}
inline float __uint_as_float(unsigned x) {
    return std::bit_cast<float>(x);
}
template <typename T>
T __ldg(const T* address) {
    return *address;
}
