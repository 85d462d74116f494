// Loads and stores of 8 or 16 bytes at once, needed to reach the bandwidth of device memory.
#pragma once

#include <algorithm>
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

constexpr std::size_t kBytesOfAccess = 16;  // no instruction moves more for a thread

// Neighbouring elements that are accessed together. Kernels are templates of their Width: 4 floats
// or 8 bfloat16 are one access of 16 bytes, 1 is for buffers that are not aligned to 16 bytes. 8
// floats, which accompany 8 bfloat16, are two accesses.
template <typename T, int Width>
struct alignas(std::min(Width * sizeof(T), kBytesOfAccess)) Pack {
    T of[Width];
};
template <int Width, typename T>
__device__ __forceinline__ Pack<T, Width> load(const T* address) {
    if constexpr (Width * sizeof(T) <= kBytesOfAccess) {
        return load_vector<Pack<T, Width>>(address);
    } else {
        constexpr int kHalf = Width / 2;
        const auto low = load<kHalf>(address), high = load<kHalf>(address + kHalf);
        Pack<T, Width> both;
        for (int i = 0; i < kHalf; ++i) {
            both.of[i] = low.of[i];
            both.of[kHalf + i] = high.of[i];
        }
        return both;
    }
}
template <typename T, int Width>
__device__ __forceinline__ void store(T* address, const Pack<T, Width>& value) {
    if constexpr (Width * sizeof(T) <= kBytesOfAccess) {
        store_vector(address, value);
    } else {
        constexpr int kHalf = Width / 2;
        Pack<T, kHalf> low, high;
        for (int i = 0; i < kHalf; ++i) {
            low.of[i] = value.of[i];
            high.of[i] = value.of[kHalf + i];
        }
        store(address, low);
        store(address + kHalf, high);
    }
}

// values[i ...], or zeros if `values` is null.
template <int Width, typename T>
__device__ __forceinline__ Pack<T, Width> load_if(const T* values, std::int64_t i) {
    return values ? load<Width>(values + i) : Pack<T, Width>{};
}

// How many elements of the smallest of these types make one access.
template <typename... Ts>
constexpr int kWidest = static_cast<int>(kBytesOfAccess / std::min({sizeof(Ts)...}));

// The Width that all of these buffers allow: kWidest of their types, or 1. Tensors are aligned;
// views of them need not be.
template <typename... Ts>
int widest_access(const Ts*... buffers) {
    const bool aligned = ((reinterpret_cast<std::uintptr_t>(buffers) % kBytesOfAccess == 0) && ...);
    return aligned ? kWidest<Ts...> : 1;
}
// The same for matrices, whose rows have to be aligned too.
template <typename... Ts>
int widest_access_of_rows(std::int64_t columns, const Ts*... buffers) {
    return columns % kWidest<Ts...> == 0 ? widest_access(buffers...) : 1;
}

}  // namespace cnpd::kernels
