// Matrix products through cuBLASLt, without its headers.
#pragma once

#include "kernels/gemm/gemm.h"

namespace cnpd::kernels::cublas {

// As gemm in gemm.h, on the current stream, in float32 (no TF32). Throws CudaError.
void gemm(const GemmShape& shape, const float* a, const float* b, float* c);

}  // namespace cnpd::kernels::cublas
