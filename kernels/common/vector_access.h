// Loads and stores of 8 or 16 bytes at once, which is how a kernel reaches the bandwidth of device
// memory.
#pragma once

#include <cstdint>

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

// Neighbouring elements that travel together. Kernels are templates of their Width: 4 floats make
// an access of 16 bytes, 1 is for buffers that are not aligned to it.
template <typename T, int Width>
struct alignas(Width * sizeof(T)) Pack {
    T of[Width];
};
template <int Width, typename T>
__device__ __forceinline__ Pack<T, Width> load(const T* address) {
    return load_vector<Pack<T, Width>>(address);
}
template <typename T, int Width>
__device__ __forceinline__ void store(T* address, const Pack<T, Width>& value) {
    store_vector(address, value);
}

// The Width that all of these buffers of 4-byte elements allow. Tensors are aligned; views of them
// need not be.
template <typename... Ts>
int widest_access(const Ts*... buffers) {
    static_assert(((sizeof(Ts) == 4) && ...));
    const bool aligned = ((reinterpret_cast<std::uintptr_t>(buffers) % 16 == 0) && ...);
    return aligned ? 4 : 1;
}
// The same for matrices, whose rows have to be aligned too.
template <typename... Ts>
int widest_access_of_rows(std::int64_t columns, const Ts*... buffers) {
    return columns % 4 == 0 ? widest_access(buffers...) : 1;
}

}  // namespace cnpd::kernels
