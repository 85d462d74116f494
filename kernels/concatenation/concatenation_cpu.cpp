#include <algorithm>

#include "kernels/common/channel_rows.h"
#include "kernels/concatenation/concatenation.h"

namespace cnpd::kernels::cpu {
namespace {

template <class Body>
void for_each_row(std::int64_t rows, std::int64_t columns, const Body& body) {
    parallel_for(rows, kElementGrain / std::max<std::int64_t>(columns, 1) + 1,
                 [&](std::int64_t first, std::int64_t last) {
                     for (std::int64_t r = first; r < last; ++r) body(r);
                 });
}

}  // namespace

void concatenate_forward(const float* a, std::int64_t a_columns, const float* b,
                         std::int64_t b_columns, std::int64_t rows, float* y) {
    const std::int64_t columns = a_columns + b_columns;
    for_each_row(rows, columns, [=](std::int64_t r) {
        std::copy_n(a + r * a_columns, a_columns, y + r * columns);
        std::copy_n(b + r * b_columns, b_columns, y + r * columns + a_columns);
    });
}

void concatenate_backward(const float* dy, std::int64_t a_columns, std::int64_t b_columns,
                          std::int64_t rows, float* da, float* db) {
    const std::int64_t columns = a_columns + b_columns;
    for_each_row(rows, columns, [=](std::int64_t r) {
        if (da) std::copy_n(dy + r * columns, a_columns, da + r * a_columns);
        if (db) std::copy_n(dy + r * columns + a_columns, b_columns, db + r * b_columns);
    });
}

}  // namespace cnpd::kernels::cpu
