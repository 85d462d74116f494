// Plain matrix multiplication, through the backend's BLAS.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct GemmShape {
    std::int64_t m = 0, n = 0, k = 0;
    bool transpose_a = false;  // a is [k,m] in memory instead of [m,k]
    bool transpose_b = false;  // b is [n,k] in memory instead of [k,n]
    float beta = 0;            // 0: c is only written; 1: added to
};

// c [m,n] = op(a) op(b) + beta c. Row-major, contiguous.
CNPD_KERNEL(void gemm(const GemmShape& shape, const float* a, const float* b, float* c))

}  // namespace cnpd::kernels
