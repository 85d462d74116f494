// The polarizer for inference: the folded map (polarizer_fold) applied to features, in float32 or
// bfloat16. It computes the same as polarizer_forward. As a separate function its kernel can be
// chosen for speed alone, and features and maps can be bfloat16.
//
//     out[n,p] = weight_n (A[y_n] z[n,p] + b[y_n]) (+ out[n,p])
//
// Shared: classes == 1 or no labels. Class-conditional: a label for each sample. Routed: one call
// for each expert with its label and `weights`; the first call writes, the others accumulate.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"
#include "kernels/common/bfloat16.h"
#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels {

// z, out [N,P,C]; labels [N] in [0, classes) or null: all 0; weights [N] or null: all 1; a
// [classes,C,C], output channel first; b [classes,C]. `out` is not `z`. N P < 2^31.
template <typename T>
using PolarizerInference = void(const PolarizerShape& shape, const T* z, const std::int32_t* labels,
                                const float* weights, bool accumulate, const T* a, const float* b,
                                T* out);

CNPD_KERNEL(PolarizerInference<float> polarizer_inference)

// Products and sums are float32; the result is rounded once, after the addition to `out`.
CNPD_KERNEL(PolarizerInference<bfloat16> polarizer_inference_bf16)

}  // namespace cnpd::kernels
