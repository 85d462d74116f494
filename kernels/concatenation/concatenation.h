// Concatenation along the last (channel) axis.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

// y [rows,a_columns+b_columns] = a [rows,a_columns] followed by b [rows,b_columns]
CNPD_KERNEL(void concatenate_forward(const float* a, std::int64_t a_columns, const float* b,
                                     std::int64_t b_columns, std::int64_t rows, float* y))

// Splits dy. A null da or db is not written.
CNPD_KERNEL(void concatenate_backward(const float* dy, std::int64_t a_columns,
                                      std::int64_t b_columns, std::int64_t rows, float* da,
                                      float* db))

}  // namespace cnpd::kernels
