// Loads and stores of 8 or 16 bytes at once, which is how a kernel reaches the bandwidth of device
// memory.
#pragma once

#include "kernels/common/cuda.h"

namespace cnpd::kernels {

// `address` is aligned to sizeof(Vector).
#ifdef CNPD_EMULATED
template <typename Vector, typename T>
__attribute__((no_sanitize("thread"), noinline)) Vector load_vector(const T* address) {
    emulator::check_vector(address, sizeof(Vector), false, __builtin_return_address(0));
    Vector value;
    std::memcpy(&value, address, sizeof value);
    return value;
}
template <typename Vector, typename T>
__attribute__((no_sanitize("thread"), noinline)) void store_vector(T* address,
                                                                   const Vector& value) {
    emulator::check_vector(address, sizeof(Vector), true, __builtin_return_address(0));
    std::memcpy(address, &value, sizeof value);
}
#else
template <typename Vector, typename T>
__device__ __forceinline__ Vector load_vector(const T* address) {
    return *reinterpret_cast<const Vector*>(address);
}
template <typename Vector, typename T>
__device__ __forceinline__ void store_vector(T* address, const Vector& value) {
    *reinterpret_cast<Vector*>(address) = value;
}
#endif

template <typename T>
__device__ __forceinline__ float4 load4(const T* address) {
    return load_vector<float4>(address);
}
template <typename T>
__device__ __forceinline__ void store4(T* address, const float4& value) {
    store_vector(address, value);
}

}  // namespace cnpd::kernels
