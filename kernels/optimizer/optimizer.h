// One step of an optimizer over all parameters at once; formulas and names are PyTorch's. Values
// that change from step to step are read from the backend's memory, so that a step can be recorded
// once and replayed.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct SgdSettings {
    float momentum = 0;
    bool nesterov = false;
};

// One parameter, [count] each.
struct SgdBuffer {
    const float* gradient = nullptr;
    float *parameter = nullptr, *velocity = nullptr;  // velocity: 0 before the first step
    std::int64_t count = 0;
    const float* learning_rate = nullptr;  // [1]
    const float* active = nullptr;  // [1]; 0: this parameter is not updated. Null: always updated
    float weight_decay = 0;
};

// g = gradient + weight_decay p;  v = momentum v + g;  p -= learning_rate (nesterov ? g + momentum
// v : v). With momentum 0, velocities may be null. `buffers` [count] is an array on the host.
CNPD_KERNEL(void sgd_step(const SgdSettings& settings, const SgdBuffer* buffers,
                          std::int64_t count))

struct AdamSettings {
    double beta1 = 0.9, beta2 = 0.999;  // 1 - beta2 would lose four digits in float
    float eps = 1e-8f;
};

struct AdamBuffer {
    const float* gradient = nullptr;
    float *parameter = nullptr, *first_moment = nullptr, *second_moment = nullptr;
    std::int64_t count = 0;
    const float* learning_rate = nullptr;  // [1]
    const float* active = nullptr;         // [1], or null
    std::int64_t* updates = nullptr;       // [1], number of updates so far; incremented by the step
    float weight_decay = 0;
};

// Adam with L2 regularisation as torch.optim.Adam: moments and updates are 0 before the first step.
CNPD_KERNEL(void adam_step(const AdamSettings& settings, const AdamBuffer* buffers,
                           std::int64_t count))

// Gradients [rows,values] in several buffers, whose rows r belong together: they are multiplied by
// `factor` and clipped to a common norm, row by row, in place.
struct RowsBuffer {
    float* gradient = nullptr;
    std::int64_t values = 0;
};
struct RowClipping {
    std::int64_t rows = 0;
    double factor = 1;
    double norm = 0;  // after the factor; 0: no clipping
};
// factors [rows]: what each row was multiplied by, factor min(1, norm / |factor g|). 0 for a row of
// zeros, to mark that it has no gradient; NaN if a gradient is not finite. `buffers` [count], at
// most 8, is an array on the host.
CNPD_KERNEL(void clip_rows(const RowClipping& clipping, const RowsBuffer* buffers,
                           std::int64_t count, float* factors))

}  // namespace cnpd::kernels
