#include <cmath>
#include <vector>

#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cnpd::kernels::reference {
namespace {

double largest(const float* row, std::int64_t classes) {
    double maximum = row[0];
    for (std::int64_t k = 1; k < classes; ++k)
        if (row[k] > maximum) maximum = row[k];
    return maximum;
}

double log_sum(const float* row, std::int64_t classes, double maximum) {
    double sum = 0;
    for (std::int64_t k = 0; k < classes; ++k) sum += std::exp(row[k] - maximum);
    return std::log(sum);
}

}  // namespace

void softmax(const float* logits, std::int64_t rows, std::int64_t classes, float* probabilities) {
    for (std::int64_t r = 0; r < rows; ++r, logits += classes, probabilities += classes) {
        const double maximum = largest(logits, classes);
        const double normalizer = log_sum(logits, classes, maximum);
        for (std::int64_t k = 0; k < classes; ++k)
            probabilities[k] = static_cast<float>(std::exp(logits[k] - maximum - normalizer));
    }
}

void softmax_cross_entropy_forward(const float* logits, const std::int32_t* labels,
                                   std::int64_t rows, std::int64_t classes, float smoothing,
                                   float* losses) {
    for (std::int64_t r = 0; r < rows; ++r, logits += classes) {
        losses[r] = 0;
        if (labels[r] < 0) continue;
        const double maximum = largest(logits, classes);
        const double normalizer = log_sum(logits, classes, maximum);
        double loss = (1.0 - smoothing) * (normalizer - (logits[labels[r]] - maximum));
        if (smoothing != 0)
            for (std::int64_t k = 0; k < classes; ++k)
                loss += static_cast<double>(smoothing) / static_cast<double>(classes) *
                        (normalizer - (logits[k] - maximum));
        losses[r] = static_cast<float>(loss);
    }
}

void softmax_cross_entropy_backward(const float* logits, const std::int32_t* labels,
                                    std::int64_t rows, std::int64_t classes, float smoothing,
                                    const float* weight, float* dlogits) {
    for (std::int64_t r = 0; r < rows; ++r, logits += classes, dlogits += classes) {
        const double maximum = largest(logits, classes);
        const double normalizer = log_sum(logits, classes, maximum);
        for (std::int64_t k = 0; k < classes; ++k) {
            const double target = static_cast<double>(smoothing) / static_cast<double>(classes) +
                                  (k == labels[r] ? 1.0 - smoothing : 0.0);
            const double probability = std::exp(logits[k] - maximum - normalizer);
            dlogits[k] =
                labels[r] < 0 ? 0.0f : static_cast<float>(*weight * (probability - target));
        }
    }
}

void argmax(const float* logits, std::int64_t rows, std::int64_t classes,
            std::int32_t* predictions) {
    for (std::int64_t r = 0; r < rows; ++r, logits += classes) {
        std::int64_t best = 0;
        for (std::int64_t k = 1; k < classes; ++k) {
            if (std::isnan(logits[best])) break;
            if (logits[k] > logits[best] || std::isnan(logits[k])) best = k;
        }
        predictions[r] = static_cast<std::int32_t>(best);
    }
}

void count_equal(const std::int32_t* a, const std::int32_t* b, std::int64_t count,
                 std::int64_t* result) {
    *result = 0;
    for (std::int64_t i = 0; i < count; ++i) *result += a[i] == b[i];
}

void mean_weight(const std::int32_t* labels, std::int64_t rows, float* weight) {
    std::int64_t counted = 0;
    for (std::int64_t r = 0; r < rows; ++r) counted += labels[r] >= 0;
    *weight = static_cast<float>(1.0 / static_cast<double>(counted > 0 ? counted : 1));
}

void count_matches(const float* logits, std::int64_t rows, std::int64_t classes,
                   const std::int32_t* expected, std::int64_t sets, std::int64_t* counts) {
    for (std::int64_t r = 0; r < rows; ++r) {
        std::int32_t prediction = 0;
        argmax(logits + r * classes, 1, classes, &prediction);
        for (std::int64_t set = 0; set < sets; ++set)
            counts[set] += expected[set * rows + r] == prediction;
    }
}

}  // namespace cnpd::kernels::reference
