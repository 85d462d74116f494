// Softmax, cross-entropy against integer labels, and the counting that metrics need.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

// probabilities [rows,classes] = softmax of logits [rows,classes], with the maximum subtracted
// first; probabilities may be logits
CNPD_KERNEL(void softmax(const float* logits, std::int64_t rows, std::int64_t classes,
                         float* probabilities))

// losses [rows] = -log softmax(logits)[label], with label smoothing s: the target distribution is
// (1 - s) on the label plus s / classes on every class. Labels [rows] are in [0, classes); a
// negative label masks its row: loss 0.
CNPD_KERNEL(void softmax_cross_entropy_forward(const float* logits, const std::int32_t* labels,
                                               std::int64_t rows, std::int64_t classes,
                                               float smoothing, float* losses))

// dlogits = weight (softmax(logits) - target), zero in masked rows; dlogits may be logits
CNPD_KERNEL(void softmax_cross_entropy_backward(const float* logits, const std::int32_t* labels,
                                                std::int64_t rows, std::int64_t classes,
                                                float smoothing, float weight, float* dlogits))

// predictions [rows] = position of the largest logit, the first where several are equal;
// NaN counts as the largest
CNPD_KERNEL(void argmax(const float* logits, std::int64_t rows, std::int64_t classes,
                        std::int32_t* predictions))

// *result = number of i with a[i] == b[i]
CNPD_KERNEL(void count_equal(const std::int32_t* a, const std::int32_t* b, std::int64_t count,
                             std::int64_t* result))

}  // namespace cnpd::kernels
