// The tensor cores' warp-wide instructions, one function for each, with the documented place of
// every element: ldmatrix, and mma.sync for bfloat16 and for tf32 (Ampere and later). Sums are
// float32. All lanes of a warp call them together. Source: PTX ISA, chapters on ldmatrix and
// mma.m16n8k16, mma.m16n8k8.
//
// In the following, lane l has g = l / 4 and q = l % 4. 16-bit elements are packed in pairs, the
// first in the lower half.
#pragma once

#include <cstdint>

#include "kernels/common/cuda.h"
#ifdef CNPD_EMULATED
#include "kernels/emulator/tensor_core.h"
#endif

namespace cnpd::kernels {

#ifndef CNPD_EMULATED

// Four 8x8 matrices of 16-bit elements from shared memory. Lane l passes the address of row l % 8
// of matrix l / 8, 16 bytes, aligned to 16. matrix[i] becomes (row g, columns 2 q and 2 q + 1) of
// matrix i.
__device__ __forceinline__ void load_matrices(std::uint32_t (&matrix)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrix[0]), "=r"(matrix[1]), "=r"(matrix[2]), "=r"(matrix[3])
                 : "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(row)))
                 : "memory");
}

// The same of the transposed matrices: matrix[i] becomes (rows 2 q and 2 q + 1, column g).
__device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&matrix)[4],
                                                         const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrix[0]), "=r"(matrix[1]), "=r"(matrix[2]), "=r"(matrix[3])
                 : "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(row)))
                 : "memory");
}

// sum [16,8] += a [16,16] b [16,8], bfloat16.
//     a[0], a[1]  rows g and g + 8, k = 2 q and 2 q + 1; a[2], a[3] the same for k + 8
//     b[0], b[1]  column g, k = 2 q and 2 q + 1; k + 8
//     sum[0..1]   row g, columns 2 q and 2 q + 1; sum[2..3] row g + 8
__device__ __forceinline__ void multiply_add_bf16(float (&sum)[4], const std::uint32_t (&a)[4],
                                                  const std::uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// sum [16,8] += a [16,8] b [8,8], float32 values of which only the upper 19 bits are used (tf32).
//     a[0], a[1]  rows g and g + 8, k = q; a[2], a[3] the same for k + 4
//     b[0], b[1]  column g, k = q and q + 4
//     sum         as above
__device__ __forceinline__ void multiply_add_tf32(float (&sum)[4], const std::uint32_t (&a)[4],
                                                  const std::uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Rounds to tf32, to nearest, ties away from zero. Without it multiply_add_tf32 truncates, which
// doubles the error and biases it.
__device__ __forceinline__ std::uint32_t to_tf32(float value) {
    std::uint32_t rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
    return rounded;
}

#endif

}  // namespace cnpd::kernels
