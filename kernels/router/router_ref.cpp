#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/router/router.h"

namespace cnpd::kernels::reference {

void router_attention(const AttentionShape& shape, const float* queries, const float* keys,
                      float* attention) {
    for (std::int64_t y = 0; y < shape.classes; ++y) {
        std::vector<double> scores(shape.experts, 0.0);
        for (std::int64_t m = 0; m < shape.experts; ++m) {
            for (std::int64_t i = 0; i < shape.width; ++i)
                scores[m] += double{queries[y * shape.width + i]} * keys[m * shape.width + i];
            scores[m] /= std::sqrt(static_cast<double>(shape.width));
        }
        const double largest = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        for (double& score : scores) sum += score = std::exp(score - largest);
        for (std::int64_t m = 0; m < shape.experts; ++m)
            attention[y * shape.experts + m] = static_cast<float>(scores[m] / sum);
    }
}

void router_attention_backward(const AttentionShape& shape, const float* queries, const float* keys,
                               const float* attention, const float* dattention, float* dqueries,
                               float* dkeys) {
    const double scale = 1 / std::sqrt(static_cast<double>(shape.width));
    std::vector<double> dq(shape.classes * shape.width, 0.0), dk(shape.experts * shape.width, 0.0);
    for (std::int64_t y = 0; y < shape.classes; ++y) {
        const float *a = attention + y * shape.experts, *da = dattention + y * shape.experts;
        double mean = 0;  // of da, by a
        for (std::int64_t m = 0; m < shape.experts; ++m) mean += double{a[m]} * da[m];
        for (std::int64_t m = 0; m < shape.experts; ++m) {
            const double dscore = scale * a[m] * (da[m] - mean);
            for (std::int64_t i = 0; i < shape.width; ++i) {
                dq[y * shape.width + i] += dscore * keys[m * shape.width + i];
                dk[m * shape.width + i] += dscore * queries[y * shape.width + i];
            }
        }
    }
    std::transform(dq.begin(), dq.end(), dqueries, [](double v) { return static_cast<float>(v); });
    std::transform(dk.begin(), dk.end(), dkeys, [](double v) { return static_cast<float>(v); });
}

void mix_experts(const MixtureShape& shape, const float* attention, const float* experts,
                 float* mixed) {
    for (std::int64_t y = 0; y < shape.classes; ++y)
        for (std::int64_t i = 0; i < shape.values; ++i) {
            double sum = 0;
            for (std::int64_t m = 0; m < shape.experts; ++m)
                sum += double{attention[y * shape.experts + m]} * experts[m * shape.values + i];
            mixed[y * shape.values + i] = static_cast<float>(sum);
        }
}

void mix_experts_backward(const MixtureShape& shape, const float* attention, const float* dmixed,
                          float* dexperts) {
    for (std::int64_t m = 0; m < shape.experts; ++m)
        for (std::int64_t i = 0; i < shape.values; ++i) {
            double sum = 0;
            for (std::int64_t y = 0; y < shape.classes; ++y)
                sum += double{attention[y * shape.experts + m]} * dmixed[y * shape.values + i];
            dexperts[m * shape.values + i] = static_cast<float>(sum);
        }
}

void mix_experts_backward_attention(const MixtureShape& shape, const float* experts,
                                    const float* dmixed, float* dattention) {
    for (std::int64_t y = 0; y < shape.classes; ++y)
        for (std::int64_t m = 0; m < shape.experts; ++m) {
            double sum = 0;
            for (std::int64_t i = 0; i < shape.values; ++i)
                sum += double{dmixed[y * shape.values + i]} * experts[m * shape.values + i];
            dattention[y * shape.experts + m] = static_cast<float>(sum);
        }
}

}  // namespace cnpd::kernels::reference
