// A simple version of the PGD step, for the ladder (docs/ladder.md). It fulfils the contract of
// kernels/pgd/pgd.h for the L2 norm and the gradient's sign, and does not look at `stopped`.
#pragma once

#include "kernels/pgd/pgd.h"

namespace cnpd::kernels::cuda {

// A kernel for each pass, an element a thread.
void pgd_step_v1(const PgdSettings& settings, const float* x, const float* dinput,
                 float* adversarial, float* input);

}  // namespace cnpd::kernels::cuda
