#include "kernels/elementwise/elementwise.h"

#include <algorithm>

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

template <typename T>
void add(const T* x, const T* y, std::int64_t count, T* z) {
    for (std::int64_t i = 0; i < count; ++i) z[i] = T(float{x[i]} + float{y[i]});
}
CNPD_INSTANTIATE(add);

template <typename T>
void relu_forward(const T* x, std::int64_t count, T* y) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] <= 0 ? T(0.0f) : x[i];
}
CNPD_INSTANTIATE(relu_forward);

template <typename T>
void relu_backward(const T* dy, const T* y, std::int64_t count, T* dx) {
    for (std::int64_t i = 0; i < count; ++i) dx[i] = y[i] > 0 ? dy[i] : T(0.0f);
}
CNPD_INSTANTIATE(relu_backward);

template <typename T>
void sum_rows(const T* x, std::int64_t rows, std::int64_t columns, float* sums) {
    for (std::int64_t c = 0; c < columns; ++c) {
        double sum = 0;
        for (std::int64_t r = 0; r < rows; ++r) sum += x[r * columns + c];
        sums[c] = static_cast<float>(sum);
    }
}
CNPD_INSTANTIATE(sum_rows);

void add_row(const float* x, const float* row, std::int64_t rows, std::int64_t columns, float* y) {
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c) y[r * columns + c] = x[r * columns + c] + row[c];
}

void sum_of_squares(const float* x, std::int64_t count, double* result) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
    *result = sum;
}

void cast(const float* x, std::int64_t count, bfloat16* y) {
    std::transform(x, x + count, y, [](float value) { return bfloat16(value); });
}

void cast(const bfloat16* x, std::int64_t count, float* y) {
    std::copy(x, x + count, y);
}

void accumulate(const float* x, std::int64_t count, double* sums) {
    for (std::int64_t i = 0; i < count; ++i) sums[i] += x[i];
}

void multiply(const float* x, const float* y, std::int64_t count, float* z) {
    for (std::int64_t i = 0; i < count; ++i) z[i] = x[i] * y[i];
}

}  // namespace cnpd::kernels::reference
