// Rows of a table, chosen by index.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

// y [count,columns]: y[i] = table[indices[i]], table [rows,columns], indices in [0, rows)
CNPD_KERNEL(void embedding_forward(const float* table, const std::int32_t* indices,
                                   std::int64_t count, std::int64_t columns, float* y))

// dtable [rows,columns]: sums of dy's rows by index, zero for an index that does not occur. Sums
// run in the order of the indices, so results are reproducible.
CNPD_KERNEL(void embedding_backward(const float* dy, const std::int32_t* indices,
                                    std::int64_t count, std::int64_t rows, std::int64_t columns,
                                    float* dtable))

}  // namespace cnpd::kernels
