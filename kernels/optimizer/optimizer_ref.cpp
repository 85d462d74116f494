#include <cmath>
#include <limits>

#include "kernels/optimizer/optimizer.h"

namespace cnpd::kernels::reference {

void sgd_step(const SgdSettings& settings, const SgdBuffer* buffers, std::int64_t count) {
    for (const SgdBuffer* b = buffers; b != buffers + count; ++b) {
        if (b->active && *b->active == 0) continue;
        for (std::int64_t i = 0; i < b->count; ++i) {
            double step = b->gradient[i] + double{b->weight_decay} * b->parameter[i];
            if (settings.momentum != 0) {
                const double v = double{settings.momentum} * b->velocity[i] + step;
                b->velocity[i] = static_cast<float>(v);
                step = settings.nesterov ? step + settings.momentum * v : v;
            }
            b->parameter[i] = static_cast<float>(b->parameter[i] - *b->learning_rate * step);
        }
    }
}

void adam_step(const AdamSettings& settings, const AdamBuffer* buffers, std::int64_t count) {
    for (const AdamBuffer* b = buffers; b != buffers + count; ++b) {
        if (b->active && *b->active == 0) continue;
        const auto t = static_cast<double>(++*b->updates);
        for (std::int64_t i = 0; i < b->count; ++i) {
            const double g = b->gradient[i] + double{b->weight_decay} * b->parameter[i];
            const double m = settings.beta1 * b->first_moment[i] + (1 - settings.beta1) * g;
            const double v = settings.beta2 * b->second_moment[i] + (1 - settings.beta2) * g * g;
            b->first_moment[i] = static_cast<float>(m);
            b->second_moment[i] = static_cast<float>(v);
            const double m_hat = m / (1 - std::pow(settings.beta1, t));
            const double v_hat = v / (1 - std::pow(settings.beta2, t));
            b->parameter[i] = static_cast<float>(
                b->parameter[i] - *b->learning_rate * m_hat / (std::sqrt(v_hat) + settings.eps));
        }
    }
}

void clip_rows(const RowClipping& clipping, const RowsBuffer* buffers, std::int64_t count,
               float* factors) {
    for (std::int64_t r = 0; r < clipping.rows; ++r) {
        double squares = 0;
        for (const RowsBuffer* b = buffers; b != buffers + count; ++b)
            for (std::int64_t i = r * b->values; i < (r + 1) * b->values; ++i)
                squares += double{b->gradient[i]} * b->gradient[i];
        const double norm = clipping.factor * std::sqrt(squares);
        double factor = clipping.factor;
        if (clipping.norm > 0 && norm > clipping.norm) factor *= clipping.norm / norm;
        if (norm == 0) factor = 0;
        if (!std::isfinite(norm)) factor = std::numeric_limits<double>::quiet_NaN();
        factors[r] = static_cast<float>(factor);
        for (const RowsBuffer* b = buffers; b != buffers + count; ++b)
            for (std::int64_t i = r * b->values; i < (r + 1) * b->values; ++i)
                b->gradient[i] = static_cast<float>(b->gradient[i] * factor);
    }
}

}  // namespace cnpd::kernels::reference
