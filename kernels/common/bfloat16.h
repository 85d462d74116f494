// bfloat16 as a storage type: the upper half of a float32, with the same range of exponents and 8
// of its 24 significant bits. Arithmetic is done in float32; a value is rounded when it is stored.
// The same type is used on the host and in kernels, without NVIDIA's headers.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/common/backend.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#endif

namespace cnpd::kernels {

struct bfloat16 {
    std::uint16_t bits;

    bfloat16() = default;
    // Rounds to nearest, ties to even. Values that are too large become infinite; every NaN becomes
    // 0x7FFF, as in the GPU's conversion.
    CNPD_HOST_DEVICE explicit constexpr bfloat16(float value) : bits(round(value)) {}
    CNPD_HOST_DEVICE static constexpr bfloat16 from_bits(std::uint16_t bits) {
        bfloat16 value{};
        value.bits = bits;
        return value;
    }
    // Exact, therefore implicit.
    CNPD_HOST_DEVICE constexpr operator float() const {
        return std::bit_cast<float>(std::uint32_t{bits} << 16);
    }

  private:
    CNPD_HOST_DEVICE static constexpr std::uint16_t round(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
        // One instruction instead of six.
        if (!std::is_constant_evaluated()) return __bfloat16_as_ushort(__float2bfloat16_rn(value));
#endif
        if (value != value) return 0x7FFF;
        const auto whole = std::bit_cast<std::uint32_t>(value);
        // Adds half of the last remaining bit, less one unit if that bit is even, so that ties
        // round to even.
        return static_cast<std::uint16_t>((whole + 0x7FFF + (whole >> 16 & 1)) >> 16);
    }
};
static_assert(sizeof(bfloat16) == 2 && std::is_trivially_copyable_v<bfloat16> &&
              std::is_standard_layout_v<bfloat16>);

// The largest relative error of rounding to bfloat16: half of 2^-7.
inline constexpr double kBfloat16Rounding = 1.0 / 256;

}  // namespace cnpd::kernels

template <>
struct std::numeric_limits<cnpd::kernels::bfloat16> {
    using T = cnpd::kernels::bfloat16;
    static constexpr bool is_specialized = true, is_signed = true, has_infinity = true,
                          has_quiet_NaN = true, is_integer = false, is_exact = false;
    static constexpr int digits = 8, max_exponent = 128, min_exponent = -125;
    static constexpr T min() noexcept { return T::from_bits(0x0080); }
    static constexpr T max() noexcept { return T::from_bits(0x7F7F); }
    static constexpr T lowest() noexcept { return T::from_bits(0xFF7F); }
    static constexpr T epsilon() noexcept { return T::from_bits(0x3C00); }  // 2^-7
    static constexpr T infinity() noexcept { return T::from_bits(0x7F80); }
    static constexpr T quiet_NaN() noexcept { return T::from_bits(0x7FFF); }
};
