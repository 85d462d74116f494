// Matrix products through cuBLASLt, without its headers.
#pragma once

#include "kernels/common/bfloat16.h"
#include "kernels/gemm/gemm.h"

namespace cnpd::kernels::cublas {

// Like gemm in gemm.h, on the current stream, in float32, or TF32 if tf32_allowed(). Throws
// CudaError.
void gemm(const GemmShape& shape, const float* a, const float* b, float* c);

// The same in bfloat16, with sums in float32.
void gemm_bf16(const GemmShape& shape, const bfloat16* a, const bfloat16* b, bfloat16* c);

}  // namespace cnpd::kernels::cublas
