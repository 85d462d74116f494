// Products with few rows on the CPU: one image through a linear layer or a polarizer's map. A
// library packs b first, which takes as long as 20 rows; here b is read once, from memory.
#pragma once

#include <cstdint>

namespace cnpd::kernels::few_rows {

// More rows are faster with packing.
inline constexpr std::int64_t kMost = 16;

// c [m,n] = a [m,k] b^T with b [n,k]; rows of c are ldc apart, a and b are contiguous. Runs on the
// calling thread. An element's bits do not depend on the other rows and columns.
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b,
              float* c, std::int64_t ldc);

// The columns of a piece, for threads that share a product with this k: a quarter of a million
// products or more, a multiple of the columns that are computed at a time.
std::int64_t columns_of_piece(std::int64_t m, std::int64_t k);

}  // namespace cnpd::kernels::few_rows
