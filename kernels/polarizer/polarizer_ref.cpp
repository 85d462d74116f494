#include <cmath>

#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels::reference {

void polarizer_fold(std::int64_t classes, std::int64_t channels,
                    const PolarizerParameters& parameters, float* a, float* b) {
    for (std::int64_t row = 0; row < classes * channels; ++row) {
        const double scale =
            parameters.gamma[row] / std::sqrt(double{parameters.variance[row]} + parameters.eps);
        for (std::int64_t j = 0; j < channels; ++j)
            a[row * channels + j] =
                static_cast<float>(scale * parameters.weight[row * channels + j]);
        b[row] = static_cast<float>(parameters.beta[row] - parameters.mean[row] * scale);
    }
}

void polarizer_fold_backward(std::int64_t classes, std::int64_t channels,
                             const PolarizerParameters& parameters, const float* da,
                             const float* db, float* dweight, float* dgamma, float* dbeta) {
    for (std::int64_t row = 0; row < classes * channels; ++row) {
        const double inverse_std = 1 / std::sqrt(double{parameters.variance[row]} + parameters.eps);
        const double scale = parameters.gamma[row] * inverse_std;
        double dscale = -double{parameters.mean[row]} * db[row];
        for (std::int64_t i = row * channels; i < (row + 1) * channels; ++i) {
            dscale += double{da[i]} * parameters.weight[i];
            dweight[i] = static_cast<float>(scale * da[i]);
        }
        dgamma[row] = static_cast<float>(dscale * inverse_std);
        dbeta[row] = db[row];
    }
}

template <typename T>
void polarizer_forward(const PolarizerShape& shape, const T* z, const std::int32_t* labels,
                       const float* weights, bool accumulate, const float* a, const float* b,
                       T* out) {
    const std::int64_t channels = shape.channels;
    for (std::int64_t n = 0; n < shape.n; ++n) {
        const std::int64_t label = labels ? labels[n] : 0;
        const double weight = weights ? weights[n] : 1.0;
        for (std::int64_t p = 0; p < shape.positions; ++p) {
            const std::int64_t at = (n * shape.positions + p) * channels;
            for (std::int64_t i = 0; i < channels; ++i) {
                const float* row = a + (label * channels + i) * channels;
                double sum = b[label * channels + i];
                for (std::int64_t j = 0; j < channels; ++j) sum += double{row[j]} * z[at + j];
                const double before = accumulate ? double{out[at + i]} : 0.0;
                out[at + i] = T(static_cast<float>(weight * sum + before));
            }
        }
    }
}
CNPD_INSTANTIATE(polarizer_forward);

template <typename T>
void polarizer_dgrad(const PolarizerShape& shape, const T* dout, const std::int32_t* labels,
                     const float* a, T* dz) {
    const std::int64_t channels = shape.channels;
    for (std::int64_t n = 0; n < shape.n; ++n) {
        const float* map = a + (labels ? labels[n] : 0) * channels * channels;
        for (std::int64_t p = 0; p < shape.positions; ++p) {
            const std::int64_t at = (n * shape.positions + p) * channels;
            for (std::int64_t j = 0; j < channels; ++j) {
                double sum = 0;
                for (std::int64_t i = 0; i < channels; ++i)
                    sum += double{map[i * channels + j]} * dout[at + i];
                dz[at + j] = T(static_cast<float>(sum));
            }
        }
    }
}
CNPD_INSTANTIATE(polarizer_dgrad);

template <typename T>
void polarizer_wgrad(const PolarizerShape& shape, const T* z, const T* dout,
                     const std::int32_t* labels, float* da, float* db) {
    const std::int64_t channels = shape.channels;
    for (std::int64_t label = 0; label < shape.classes; ++label)
        for (std::int64_t i = 0; i < channels; ++i)
            // j == channels is the bias, whose input is 1 everywhere.
            for (std::int64_t j = 0; j <= channels; ++j) {
                double sum = 0;
                for (std::int64_t n = 0; n < shape.n; ++n) {
                    if (labels && labels[n] != label) continue;
                    for (std::int64_t p = 0; p < shape.positions; ++p) {
                        const std::int64_t at = (n * shape.positions + p) * channels;
                        sum += double{dout[at + i]} * (j < channels ? double{z[at + j]} : 1.0);
                    }
                }
                const std::int64_t row = label * channels + i;
                (j < channels ? da[row * channels + j] : db[row]) = static_cast<float>(sum);
            }
}
CNPD_INSTANTIATE(polarizer_wgrad);

}  // namespace cnpd::kernels::reference
