// Copies of 8 bytes per element, limited by device memory. Packs are used if both widths are
// multiples of a pack, so that no pack spans both inputs.
#include "kernels/concatenation/concatenation.h"

#include "kernels/common/row_grid.h"
#include "kernels/common/vector_access.h"

namespace cnpd::kernels::cuda {
namespace {

template <int Width>
__global__ void join_rows(const float* a, std::int64_t a_columns, const float* b,
                          std::int64_t b_columns, std::int64_t rows, float* y) {
    const std::int64_t columns = a_columns + b_columns;
    for (std::int64_t c = Width * threadIdx.x; c < columns; c += Width * blockDim.x) {
        const bool left = c < a_columns;
        const float* from = left ? a + c : b + (c - a_columns);
        const std::int64_t stride = left ? a_columns : b_columns;
        for (std::int64_t r = first_row(); r < rows; r += rows_at_once())
            store(y + r * columns + c, load<Width>(from + r * stride));
    }
}

template <int Width>
__global__ void split_rows(const float* dy, std::int64_t a_columns, std::int64_t b_columns,
                           std::int64_t rows, float* da, float* db) {
    const std::int64_t columns = a_columns + b_columns;
    for (std::int64_t c = Width * threadIdx.x; c < columns; c += Width * blockDim.x) {
        const bool left = c < a_columns;
        if (!(left ? da : db)) continue;
        float* to = left ? da + c : db + (c - a_columns);
        const std::int64_t stride = left ? a_columns : b_columns;
        for (std::int64_t r = first_row(); r < rows; r += rows_at_once())
            store(to + r * stride, load<Width>(dy + r * columns + c));
    }
}

// Rows of a and b are aligned if both widths are multiples of four.
template <typename... Ts>
int width_of(std::int64_t a_columns, std::int64_t b_columns, const Ts*... buffers) {
    return a_columns % 4 == 0 ? widest_access_of_rows(b_columns, buffers...) : 1;
}

}  // namespace

void concatenate_forward(const float* a, std::int64_t a_columns, const float* b,
                         std::int64_t b_columns, std::int64_t rows, float* y) {
    const std::int64_t columns = a_columns + b_columns;
    if (rows == 0 || columns == 0) return;
    const int width = width_of(a_columns, b_columns, a, b, y);
    launch(rows_shape("concatenate_forward", rows, columns / width),
           width == 4 ? join_rows<4> : join_rows<1>, a, a_columns, b, b_columns, rows, y);
}

void concatenate_backward(const float* dy, std::int64_t a_columns, std::int64_t b_columns,
                          std::int64_t rows, float* da, float* db) {
    const std::int64_t columns = a_columns + b_columns;
    if (rows == 0 || columns == 0) return;
    const int width = width_of(a_columns, b_columns, dy, da, db);
    launch(rows_shape("concatenate_backward", rows, columns / width),
           width == 4 ? split_rows<4> : split_rows<1>, dy, a_columns, b_columns, rows, da, db);
}

}  // namespace cnpd::kernels::cuda
