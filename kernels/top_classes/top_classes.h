// The most likely classes of each sample, and their probabilities.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

// logits [N,classes] -> labels and weights [k,N]: row j has the (j+1)-th most likely class of each
// sample (of equal ones the first) and its softmax probability, divided by the sum of the k. NaN
// counts as the smallest logit. k is 1 to `classes`.
CNPD_KERNEL(void top_classes(const float* logits, std::int64_t n, std::int64_t classes,
                             std::int64_t k, std::int32_t* labels, float* weights))

}  // namespace cnpd::kernels
