#include "kernels/concatenation/concatenation.h"

namespace cnpd::kernels::reference {

void concatenate_forward(const float* a, std::int64_t a_columns, const float* b,
                         std::int64_t b_columns, std::int64_t rows, float* y) {
    for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < a_columns; ++c) *y++ = a[r * a_columns + c];
        for (std::int64_t c = 0; c < b_columns; ++c) *y++ = b[r * b_columns + c];
    }
}

void concatenate_backward(const float* dy, std::int64_t a_columns, std::int64_t b_columns,
                          std::int64_t rows, float* da, float* db) {
    const std::int64_t columns = a_columns + b_columns;
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c) {
            const float value = dy[r * columns + c];
            if (c < a_columns && da) da[r * a_columns + c] = value;
            if (c >= a_columns && db) db[r * b_columns + c - a_columns] = value;
        }
}

}  // namespace cnpd::kernels::reference
