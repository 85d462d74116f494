// One step of an optimizer over one parameter buffer; formulas and names are PyTorch's.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct SgdSettings {
    float learning_rate = 0, momentum = 0, weight_decay = 0;
    bool nesterov = false;
    bool first_step = false;  // the velocity buffer is uninitialised: v = g instead of v = m v + g
};

// g = gradient + weight_decay p;  v = momentum v + g;  p -= learning_rate (nesterov ? g + momentum
// v : v). With momentum 0, velocity may be null.
CNPD_KERNEL(void sgd_step(const SgdSettings& settings, const float* gradient, std::int64_t count,
                          float* parameter, float* velocity))

struct AdamSettings {
    float learning_rate = 0;
    double beta1 = 0.9, beta2 = 0.999;  // 1 - beta2 would lose four digits in float
    float eps = 1e-8f, weight_decay = 0;
    std::int64_t step = 1;  // counted from 1
};

// Adam with L2 regularisation as torch.optim.Adam: m, v zero before the first step.
CNPD_KERNEL(void adam_step(const AdamSettings& settings, const float* gradient, std::int64_t count,
                           float* parameter, float* first_moment, float* second_moment))

}  // namespace cnpd::kernels
