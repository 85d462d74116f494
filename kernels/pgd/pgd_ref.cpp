#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/pgd/pgd.h"

namespace cnpd::kernels::reference {
namespace {

double l2_norm(const std::vector<double>& values) {
    double sum = 0;
    for (double value : values) sum += value * value;
    return std::sqrt(sum);
}

double sign(double value) {
    return static_cast<double>(value > 0) - static_cast<double>(value < 0);
}

void apply_form(PgdGradient form, std::vector<double>& g) {
    const double norm = form == PgdGradient::normalised ? l2_norm(g) : 0;
    for (double& value : g) {
        if (form == PgdGradient::sign) value = sign(value);
        if (norm > 0) value /= norm;
    }
}

// The soft threshold that reduces the L1 norm to the radius: Duchi et al., "Efficient projections
// onto the l1-ball" (ICML 2008), the algorithm with a sort.
double l1_threshold(const std::vector<double>& d, double radius) {
    std::vector<double> sorted(d.size());
    std::transform(d.begin(), d.end(), sorted.begin(), [](double v) { return std::fabs(v); });
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    double sum = 0, threshold = 0;
    for (std::size_t k = 0; k < sorted.size(); ++k) {
        sum += sorted[k];
        const double candidate = (sum - radius) / static_cast<double>(k + 1);
        if (sorted[k] > candidate) threshold = candidate;
    }
    return std::max(threshold, 0.0);
}

void project(PgdNorm norm, double radius, std::vector<double>& d) {
    const double length = norm == PgdNorm::l2 ? l2_norm(d) : 0;
    const double threshold = norm == PgdNorm::l1 ? l1_threshold(d, radius) : 0;
    for (double& value : d) {
        if (length > radius) value *= radius / length;
        if (norm == PgdNorm::linf) value = std::clamp(value, -radius, radius);
        if (threshold > 0) value = sign(value) * std::max(std::fabs(value) - threshold, 0.0);
    }
}

}  // namespace

template <typename Activation>
void pgd_step(const PgdSettings& settings, const float* x, const Activation* dinput,
              float* adversarial, Activation* input) {
    const std::int64_t count = settings.pixels * settings.channels;
    const bool rests = settings.stopped && *settings.stopped;
    std::vector<double> g(count), d(count);
    for (std::int64_t n = 0; n < settings.n; ++n) {
        const std::int64_t at = n * count;
        for (std::int64_t i = 0; i < count; ++i)
            g[i] = double{float{dinput[at + i]}} * settings.inverse_std[i % settings.channels];
        apply_form(settings.gradient, g);
        for (std::int64_t i = 0; i < count; ++i)
            d[i] = double{adversarial[at + i]} - x[at + i] - settings.step * g[i];
        project(settings.norm, settings.radius, d);
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t c = i % settings.channels;
            const double moved =
                rests ? adversarial[at + i] : std::clamp(x[at + i] + d[i], 0.0, 1.0);
            adversarial[at + i] = static_cast<float>(moved);
            const double normalised = (moved - settings.mean[c]) * settings.inverse_std[c];
            input[at + i] = Activation(static_cast<float>(normalised));
        }
    }
}
CNPD_INSTANTIATE(pgd_step);

}  // namespace cnpd::kernels::reference
