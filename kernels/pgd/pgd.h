// One step of projected gradient descent on the pixels: the inner maximisation of the bi-level
// problem (docs/polarizer.md), which computes targeted adversarial examples in place of the unknown
// trigger.
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"

namespace cnpd::kernels {

enum class PgdGradient { sign, raw, normalised };  // normalised: divided by the sample's L2 norm
enum class PgdNorm { l2, linf, l1 };

struct PgdSettings {
    std::int64_t n = 0, pixels = 0, channels = 3;  // images [N,pixels,channels] in [0,1]
    PgdGradient gradient = PgdGradient::sign;
    PgdNorm norm = PgdNorm::l2;
    float step = 0.1f;                   // eta
    float radius = 3.0f;                 // rho, of the ball around x, per sample
    const float* mean = nullptr;         // [channels], of the network's input normalisation; needed
    const float* inverse_std = nullptr;  // [channels], needed
    const std::int32_t* stopped = nullptr;  // in the backend's memory: not 0: the step does nothing
                                            // null: never stopped
};

// With x the clean images and g = dinput * inverse_std the gradient of the loss with respect to
// pixels (dinput [N,pixels,channels]: with respect to the normalised input):
//     d = (adversarial - x) - step * form(g)
//     d = the point of the ball nearest to d
//     adversarial = clip(x + d, 0, 1)                 which leaves adversarial - x inside the ball
//     input = (adversarial - mean) * inverse_std
// x and adversarial are float32; dinput and input have the type of the network's activations.
// The loss is descended (a targeted attack); a negative step ascends. `adversarial` is read and
// overwritten; it starts as a copy of x. A zero gradient or d stays zero, in every form and norm. A
// stopped step does not change `adversarial`, but writes `input`.
CNPD_ACTIVATION_KERNEL(void pgd_step(const PgdSettings& settings, const float* x,
                                     const Activation* dinput, float* adversarial,
                                     Activation* input))

}  // namespace cnpd::kernels
