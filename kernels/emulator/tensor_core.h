// The warp-wide instructions of kernels/common/tensor_core.h, with the documented place of every
// element.
#pragma once

#include <cstdint>

namespace cnpd::kernels {

void load_matrices(std::uint32_t (&matrix)[4], const void* row);
void load_matrices_transposed(std::uint32_t (&matrix)[4], const void* row);
void multiply_add_bf16(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);
void multiply_add_tf32(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);
std::uint32_t to_tf32(float value);

}  // namespace cnpd::kernels
