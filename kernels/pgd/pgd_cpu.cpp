#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/pgd/pgd.h"

namespace cnpd::kernels::cpu {
namespace {

// Sums of squares are computed in double: a sample has thousands of pixels.
double sum_of_squares(const float* values, std::int64_t count) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = 0; i < count; ++i) sum += double{values[i]} * values[i];
    return sum;
}

// The soft threshold of the projection on the L1 ball, 0 inside it: Duchi et al., ICML 2008. Needs
// memory for count values.
float l1_threshold(const float* d, std::int64_t count, double radius, float* magnitudes) {
    double norm = 0;
    for (std::int64_t i = 0; i < count; ++i) norm += magnitudes[i] = std::fabs(d[i]);
    if (norm <= radius) return 0;
    std::sort(magnitudes, magnitudes + count, std::greater<>());
    double sum = 0, threshold = 0;
    for (std::int64_t k = 0; k < count; ++k) {
        sum += magnitudes[k];
        const double candidate = (sum - radius) / static_cast<double>(k + 1);
        if (magnitudes[k] <= candidate) break;
        threshold = candidate;
    }
    return static_cast<float>(threshold);
}

// One sample. `d` is projected in place; the L1 ball sorts a copy in `scratch` [count].
void project(PgdNorm norm, float radius, std::int64_t count, float* d, float* scratch) {
    if (norm == PgdNorm::l2) {
        const double length = std::sqrt(sum_of_squares(d, count));
        if (length <= radius) return;
        const auto factor = static_cast<float>(radius / length);
        for (std::int64_t i = 0; i < count; ++i) d[i] *= factor;
    } else if (norm == PgdNorm::linf) {
        for (std::int64_t i = 0; i < count; ++i) d[i] = std::clamp(d[i], -radius, radius);
    } else {
        const float threshold = l1_threshold(d, count, radius, scratch);
        if (threshold == 0) return;
        for (std::int64_t i = 0; i < count; ++i)
            d[i] = std::copysign(std::max(std::fabs(d[i]) - threshold, 0.0f), d[i]);
    }
}

// d = (adversarial - x) - step * form(g), for one sample.
void descend(const PgdSettings& settings, const float* x, const float* g, const float* adversarial,
             std::int64_t count, float* d) {
    const float step = settings.step;
    if (settings.gradient == PgdGradient::sign) {
        for (std::int64_t i = 0; i < count; ++i) {
            const float sign = static_cast<float>(g[i] > 0) - static_cast<float>(g[i] < 0);
            d[i] = adversarial[i] - x[i] - step * sign;
        }
        return;
    }
    double factor = step;
    if (settings.gradient == PgdGradient::normalised) {
        const double norm = std::sqrt(sum_of_squares(g, count));
        factor = norm > 0 ? step / norm : 0;
    }
    // In double: the inverse of a tiny gradient's norm exceeds the range of float.
    for (std::int64_t i = 0; i < count; ++i)
        d[i] = adversarial[i] - x[i] - static_cast<float>(factor * g[i]);
}

}  // namespace

void pgd_step(const PgdSettings& settings, const float* x, const float* dinput, float* adversarial,
              float* input) {
    const std::int64_t count = settings.pixels * settings.channels;
    // The normalisation, repeated over an image so that the loops below need no inner loop.
    std::vector<float> mean(count), inverse_std(count);
    for (std::int64_t i = 0; i < count; ++i) {
        mean[i] = settings.mean[i % settings.channels];
        inverse_std[i] = settings.inverse_std[i % settings.channels];
    }
    parallel_for(settings.n, 1, [&](std::int64_t first, std::int64_t last) {
        std::vector<float> d(count), g(count);
        for (std::int64_t n = first; n < last; ++n) {
            const float* clean = x + n * count;
            float* moved = adversarial + n * count;
            if (settings.stopped && *settings.stopped) {
                for (std::int64_t i = 0; i < count; ++i)
                    input[n * count + i] = (moved[i] - mean[i]) * inverse_std[i];
                continue;
            }
            for (std::int64_t i = 0; i < count; ++i) g[i] = dinput[n * count + i] * inverse_std[i];
            descend(settings, clean, g.data(), moved, count, d.data());
            project(settings.norm, settings.radius, count, d.data(), g.data());
            for (std::int64_t i = 0; i < count; ++i) {
                const float pixel = std::clamp(clean[i] + d[i], 0.0f, 1.0f);
                moved[i] = pixel;
                input[n * count + i] = (pixel - mean[i]) * inverse_std[i];
            }
        }
    });
}

}  // namespace cnpd::kernels::cpu
