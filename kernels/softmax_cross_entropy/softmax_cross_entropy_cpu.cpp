#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/common/channel_rows.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cnpd::kernels::cpu {
namespace {

// An exponential costs about as much as this many elements of a memory-bound loop.
constexpr std::int64_t kExponentialCost = 8;

template <class Body>
void for_each_row(std::int64_t rows, std::int64_t classes, const Body& body) {
    parallel_for(rows, kElementGrain / (kExponentialCost * classes) + 1,
                 [&](std::int64_t first, std::int64_t last) {
                     for (std::int64_t r = first; r < last; ++r) body(r);
                 });
}

// A NaN anywhere in the row makes the exponentials NaN.
float largest(const float* row, std::int64_t classes) {
    float maximum = row[0];
    for (std::int64_t k = 1; k < classes; ++k) maximum = row[k] > maximum ? row[k] : maximum;
    return maximum;
}

// exponentials = exp(row - maximum); returns their sum. exponentials may be row.
double exponentials(const float* row, std::int64_t classes, float* result) {
    const float maximum = largest(row, classes);
    double sum = 0;
    for (std::int64_t k = 0; k < classes; ++k) {
        result[k] = std::exp(row[k] - maximum);
        sum += result[k];
    }
    return sum;
}

}  // namespace

void softmax(const float* logits, std::int64_t rows, std::int64_t classes, float* probabilities) {
    for_each_row(rows, classes, [=](std::int64_t r) {
        float* row = probabilities + r * classes;
        const double sum = exponentials(logits + r * classes, classes, row);
        const auto factor = static_cast<float>(1 / sum);
        for (std::int64_t k = 0; k < classes; ++k) row[k] *= factor;
    });
}

void softmax_cross_entropy_forward(const float* logits, const std::int32_t* labels,
                                   std::int64_t rows, std::int64_t classes, float smoothing,
                                   float* losses) {
    for_each_row(rows, classes, [=](std::int64_t r) {
        if (labels[r] < 0) {
            losses[r] = 0;
            return;
        }
        const float* row = logits + r * classes;
        const float maximum = largest(row, classes);
        double sum = 0, deviations = 0;
        for (std::int64_t k = 0; k < classes; ++k) {
            sum += std::exp(row[k] - maximum);
            deviations += static_cast<double>(row[k]) - maximum;
        }
        double loss =
            std::log(sum) - (1.0 - smoothing) * (static_cast<double>(row[labels[r]]) - maximum);
        if (smoothing != 0) loss -= smoothing * deviations / static_cast<double>(classes);
        losses[r] = static_cast<float>(loss);
    });
}

void softmax_cross_entropy_backward(const float* logits, const std::int32_t* labels,
                                    std::int64_t rows, std::int64_t classes, float smoothing,
                                    const float* weight, float* dlogits) {
    for_each_row(rows, classes, [=](std::int64_t r) {
        float* row = dlogits + r * classes;
        if (labels[r] < 0) {
            std::fill_n(row, classes, 0.0f);
            return;
        }
        const double sum = exponentials(logits + r * classes, classes, row);
        const double everywhere = static_cast<double>(smoothing) / static_cast<double>(classes);
        for (std::int64_t k = 0; k < classes; ++k) {
            const double target = everywhere + (k == labels[r] ? 1.0 - smoothing : 0.0);
            row[k] = static_cast<float>(*weight * (row[k] / sum - target));
        }
    });
}

void argmax(const float* logits, std::int64_t rows, std::int64_t classes,
            std::int32_t* predictions) {
    parallel_for(rows, kElementGrain / classes + 1, [=](std::int64_t first, std::int64_t last) {
        for (std::int64_t r = first; r < last; ++r) {
            const float* row = logits + r * classes;
            std::int64_t best = 0;
            for (std::int64_t k = 1; k < classes && !std::isnan(row[best]); ++k)
                if (row[k] > row[best] || std::isnan(row[k])) best = k;
            predictions[r] = static_cast<std::int32_t>(best);
        }
    });
}

void count_equal(const std::int32_t* a, const std::int32_t* b, std::int64_t count,
                 std::int64_t* result) {
    std::int64_t equal = 0;  // labels and predictions: too few for threads
#pragma omp simd reduction(+ : equal)
    for (std::int64_t i = 0; i < count; ++i) equal += a[i] == b[i];
    *result = equal;
}

void mean_weight(const std::int32_t* labels, std::int64_t rows, float* weight) {
    const auto counted = std::count_if(labels, labels + rows, [](auto y) { return y >= 0; });
    *weight = 1.0f / static_cast<float>(std::max<std::int64_t>(counted, 1));
}

void count_matches(const float* logits, std::int64_t rows, std::int64_t classes,
                   const std::int32_t* expected, std::int64_t sets, std::int64_t* counts) {
    std::vector<std::int32_t> predictions(static_cast<std::size_t>(rows));
    argmax(logits, rows, classes, predictions.data());
    for (std::int64_t set = 0; set < sets; ++set) {
        std::int64_t equal = 0;
        count_equal(predictions.data(), expected + set * rows, rows, &equal);
        counts[set] += equal;
    }
}

}  // namespace cnpd::kernels::cpu
