#include <algorithm>

#include "kernels/gemm/gemm.h"
#include "kernels/vendor/onednn.h"

namespace cnpd::kernels::cpu {

void gemm(const GemmShape& shape, const float* a, const float* b, float* c) {
    if (shape.m == 0 || shape.n == 0) return;
    if (shape.k == 0) {
        std::transform(c, c + shape.m * shape.n, c,
                       [&](float value) { return shape.beta == 0 ? 0.f : shape.beta * value; });
        return;
    }
    onednn::sgemm({.transpose_a = shape.transpose_a,
                   .transpose_b = shape.transpose_b,
                   .m = shape.m,
                   .n = shape.n,
                   .k = shape.k,
                   .a = a,
                   .lda = shape.transpose_a ? shape.m : shape.k,
                   .b = b,
                   .ldb = shape.transpose_b ? shape.k : shape.n,
                   .beta = shape.beta,
                   .c = c,
                   .ldc = shape.n});
}

}  // namespace cnpd::kernels::cpu
