// bfloat16 with the names of NVIDIA's cuda_bf16.h: the upper half of a float32.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/emulator/cuda.h"

struct __nv_bfloat16 {
    std::uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

inline float __bfloat162float(__nv_bfloat16 value) {
    return std::bit_cast<float>(std::uint32_t{value.bits} << 16);
}

// Rounds to the nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if (std::isnan(value)) return {0x7FFF};
    return {static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

inline float2 __bfloat1622float2(__nv_bfloat162 value) {
    return {__bfloat162float(value.x), __bfloat162float(value.y)};
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
    return {__float2bfloat16(x), __float2bfloat16(y)};
}
