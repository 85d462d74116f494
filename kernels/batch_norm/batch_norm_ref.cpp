#include "kernels/batch_norm/batch_norm.h"

namespace cnpd::kernels::reference {
namespace {

double normalised(float x, float scale, float shift) {
    return static_cast<double>(x) * scale + shift;
}

// The gradient that passes the ReLU.
double open_gradient(float dy, float x, float scale, float shift, bool relu) {
    return !relu || normalised(x, scale, shift) > 0 ? dy : 0.0;
}

}  // namespace

template <typename T>
void batch_norm_statistics(const T* x, std::int64_t rows, std::int64_t channels, float* mean,
                           float* variance) {
    for (std::int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (std::int64_t r = 0; r < rows; ++r) sum += x[r * channels + c];
        const double center = sum / static_cast<double>(rows);
        double squares = 0;
        for (std::int64_t r = 0; r < rows; ++r) {
            const double difference = x[r * channels + c] - center;
            squares += difference * difference;
        }
        mean[c] = static_cast<float>(center);
        variance[c] = static_cast<float>(squares / static_cast<double>(rows));
    }
}
CNPD_INSTANTIATE(batch_norm_statistics);

template <typename T>
void batch_norm_apply(const T* x, std::int64_t rows, std::int64_t channels, const float* scale,
                      const float* shift, bool relu, T* y) {
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < channels; ++c) {
            const std::int64_t i = r * channels + c;
            const double value = normalised(x[i], scale[c], shift[c]);
            y[i] = T(static_cast<float>(relu && value <= 0 ? 0 : value));
        }
}
CNPD_INSTANTIATE(batch_norm_apply);

template <typename T>
void batch_norm_backward_reduce(const T* dy, const T* x, std::int64_t rows, std::int64_t channels,
                                const float* mean, const float* scale, const float* shift,
                                bool relu, float* sum_g, float* sum_gx) {
    for (std::int64_t c = 0; c < channels; ++c) {
        double g_sum = 0, gx_sum = 0;
        for (std::int64_t r = 0; r < rows; ++r) {
            const std::int64_t i = r * channels + c;
            const double g =
                open_gradient(dy[i], x[i], relu ? scale[c] : 1, relu ? shift[c] : 0, relu);
            g_sum += g;
            gx_sum += g * (double{x[i]} - mean[c]);
        }
        sum_g[c] = static_cast<float>(g_sum);
        sum_gx[c] = static_cast<float>(gx_sum);
    }
}
CNPD_INSTANTIATE(batch_norm_backward_reduce);

template <typename T>
void batch_norm_backward_input(const T* dy, const T* x, std::int64_t rows, std::int64_t channels,
                               const float* scale, const float* shift, bool relu, const float* a,
                               const float* b, const float* c, const T* add, T* dx) {
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t k = 0; k < channels; ++k) {
            const std::int64_t i = r * channels + k;
            const double g =
                relu ? open_gradient(dy[i], x[i], scale[k], shift[k], true) : double{dy[i]};
            double value = a[k] * g;
            if (b) value += static_cast<double>(b[k]) * x[i];
            if (c) value += c[k];
            if (add) value += add[i];
            dx[i] = T(static_cast<float>(value));
        }
}
CNPD_INSTANTIATE(batch_norm_backward_input);

}  // namespace cnpd::kernels::reference
