// Softmax, cross-entropy against integer labels, and counts for metrics.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

// probabilities [rows,classes] = softmax of logits [rows,classes], computed after subtracting the
// maximum; probabilities may be logits
CNPD_KERNEL(void softmax(const float* logits, std::int64_t rows, std::int64_t classes,
                         float* probabilities))

// losses [rows] = -log softmax(logits)[label], with label smoothing s: the target distribution is
// (1 - s) on the label plus s / classes on every class. Labels [rows] are in [0, classes); a
// negative label masks its row: loss 0.
CNPD_KERNEL(void softmax_cross_entropy_forward(const float* logits, const std::int32_t* labels,
                                               std::int64_t rows, std::int64_t classes,
                                               float smoothing, float* losses))

// dlogits = *weight (softmax(logits) - target), zero in masked rows; dlogits may be logits
CNPD_KERNEL(void softmax_cross_entropy_backward(const float* logits, const std::int32_t* labels,
                                                std::int64_t rows, std::int64_t classes,
                                                float smoothing, const float* weight,
                                                float* dlogits))

// *weight = the factor that turns a sum over the rows into a mean: 1 / (number of labels that are
// not negative), 1 if there are none
CNPD_KERNEL(void mean_weight(const std::int32_t* labels, std::int64_t rows, float* weight))

// predictions [rows] = position of the largest logit, the first where several are equal;
// NaN counts as the largest
CNPD_KERNEL(void argmax(const float* logits, std::int64_t rows, std::int64_t classes,
                        std::int32_t* predictions))

// *result = number of i with a[i] == b[i]
CNPD_KERNEL(void count_equal(const std::int32_t* a, const std::int32_t* b, std::int64_t count,
                             std::int64_t* result))

// counts [sets] += number of rows whose argmax, as above, equals expected [sets,rows]: several
// metrics of the same logits, without copying these to the host. A negative label matches nothing.
CNPD_KERNEL(void count_matches(const float* logits, std::int64_t rows, std::int64_t classes,
                               const std::int32_t* expected, std::int64_t sets,
                               std::int64_t* counts))

}  // namespace cnpd::kernels
