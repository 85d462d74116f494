// Loops over every element of a buffer. Outputs may be any of the inputs.
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"

namespace cnpd::kernels {

// y = value
CNPD_KERNEL(void fill(float* y, std::int64_t count, float value))
// y = alpha x
CNPD_KERNEL(void scale(const float* x, std::int64_t count, float alpha, float* y))
// y = *alpha x, with alpha in the backend's memory
CNPD_KERNEL(void scale_by(const float* x, std::int64_t count, const float* alpha, float* y))
// z = x + y
CNPD_ACTIVATION_KERNEL(void add(const Activation* x, const Activation* y, std::int64_t count,
                                Activation* z))
// y = max(x, 0); NaN stays NaN
CNPD_ACTIVATION_KERNEL(void relu_forward(const Activation* x, std::int64_t count, Activation* y))
// dx = dy where y > 0, else 0 (y: relu_forward's output or input); dx may be dy
CNPD_ACTIVATION_KERNEL(void relu_backward(const Activation* dy, const Activation* y,
                                          std::int64_t count, Activation* dx))
// sums [columns] = sums of x [rows,columns] over the rows
CNPD_ACTIVATION_KERNEL(void sum_rows(const Activation* x, std::int64_t rows, std::int64_t columns,
                                     float* sums))
// y [rows,columns] = x + row [columns]
CNPD_KERNEL(void add_row(const float* x, const float* row, std::int64_t rows, std::int64_t columns,
                         float* y))
// z = x y
CNPD_KERNEL(void multiply(const float* x, const float* y, std::int64_t count, float* z))
// sums += x, in double: the sums of an epoch, on the device
CNPD_KERNEL(void accumulate(const float* x, std::int64_t count, double* sums))
// *result = sum of x^2, accumulated in double
CNPD_KERNEL(void sum_of_squares(const float* x, std::int64_t count, double* result))
// y = x in the other type: exact, or rounded to nearest, ties to even. y may not overlap x.
CNPD_KERNEL(void cast(const float* x, std::int64_t count, bfloat16* y))
CNPD_KERNEL(void cast(const bfloat16* x, std::int64_t count, float* y))

}  // namespace cnpd::kernels
