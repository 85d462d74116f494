// Element types of tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/common/bfloat16.h"

namespace cnpd::engine {

enum class DType { float32, bfloat16, uint8, int32, int64, float64 };

// Bytes of one element.
std::size_t size_of(DType dtype);
// "float32", ...
std::string_view name_of(DType dtype);

// The DType of a C++ type.
template <class T>
inline constexpr DType dtype_of = [] {
    static_assert(sizeof(T) == 0, "no DType for this type");
    return DType::float32;
}();
template <>
inline constexpr DType dtype_of<float> = DType::float32;
template <>
inline constexpr DType dtype_of<double> = DType::float64;
template <>
inline constexpr DType dtype_of<kernels::bfloat16> = DType::bfloat16;
template <>
inline constexpr DType dtype_of<std::uint8_t> = DType::uint8;
template <>
inline constexpr DType dtype_of<std::int32_t> = DType::int32;
template <>
inline constexpr DType dtype_of<std::int64_t> = DType::int64;

}  // namespace cnpd::engine
