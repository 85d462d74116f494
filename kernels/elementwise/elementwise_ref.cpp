#include "kernels/elementwise/elementwise.h"

namespace cnpd::kernels::reference {

void fill(float* y, std::int64_t count, float value) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = value;
}

void scale(const float* x, std::int64_t count, float alpha, float* y) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = alpha * x[i];
}

void scale_by(const float* x, std::int64_t count, const float* alpha, float* y) {
    scale(x, count, *alpha, y);
}

void add(const float* x, const float* y, std::int64_t count, float* z) {
    for (std::int64_t i = 0; i < count; ++i) z[i] = x[i] + y[i];
}

void relu_forward(const float* x, std::int64_t count, float* y) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] <= 0 ? 0 : x[i];
}

void relu_backward(const float* dy, const float* y, std::int64_t count, float* dx) {
    for (std::int64_t i = 0; i < count; ++i) dx[i] = y[i] > 0 ? dy[i] : 0;
}

void sum_rows(const float* x, std::int64_t rows, std::int64_t columns, float* sums) {
    for (std::int64_t c = 0; c < columns; ++c) {
        double sum = 0;
        for (std::int64_t r = 0; r < rows; ++r) sum += x[r * columns + c];
        sums[c] = static_cast<float>(sum);
    }
}

void add_row(const float* x, const float* row, std::int64_t rows, std::int64_t columns, float* y) {
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c) y[r * columns + c] = x[r * columns + c] + row[c];
}

void sum_of_squares(const float* x, std::int64_t count, double* result) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
    *result = sum;
}

void accumulate(const float* x, std::int64_t count, double* sums) {
    for (std::int64_t i = 0; i < count; ++i) sums[i] += x[i];
}

void multiply(const float* x, const float* y, std::int64_t count, float* z) {
    for (std::int64_t i = 0; i < count; ++i) z[i] = x[i] * y[i];
}

}  // namespace cnpd::kernels::reference
