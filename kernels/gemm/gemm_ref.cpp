#include "kernels/gemm/gemm.h"

namespace cnpd::kernels::reference {

void gemm(const GemmShape& shape, const float* a, const float* b, float* c) {
    for (std::int64_t i = 0; i < shape.m; ++i)
        for (std::int64_t j = 0; j < shape.n; ++j) {
            double sum = 0;
            for (std::int64_t l = 0; l < shape.k; ++l) {
                const double left = shape.transpose_a ? a[l * shape.m + i] : a[i * shape.k + l];
                const double right = shape.transpose_b ? b[j * shape.k + l] : b[l * shape.n + j];
                sum += left * right;
            }
            float& out = c[i * shape.n + j];
            // With beta 0, c is not read: it may contain anything, including NaN.
            if (shape.beta != 0) sum += static_cast<double>(shape.beta) * out;
            out = static_cast<float>(sum);
        }
}

}  // namespace cnpd::kernels::reference
