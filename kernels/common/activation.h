// Kernels whose activations, and the gradients of these, are float32 or bfloat16. Parameters,
// statistics and sums are float32 in either case, and so is all arithmetic; only what is stored as
// an activation is rounded.
#pragma once

#include "kernels/common/backend.h"
#include "kernels/common/bfloat16.h"

// As CNPD_KERNEL, for a declaration that calls its type Activation: a template in `reference` and
// `cuda`, which have it for float and bfloat16, and in `cpu` a function of float alone.
#define CNPD_ACTIVATION_KERNEL(...) \
    namespace reference {           \
    template <typename Activation>  \
    __VA_ARGS__;                    \
    }                               \
    namespace cpu {                 \
    using Activation = float;       \
    __VA_ARGS__;                    \
    }                               \
    namespace cuda {                \
    template <typename Activation>  \
    __VA_ARGS__;                    \
    }

// Behind the definition of such a template: the functions that it promises.
#define CNPD_INSTANTIATE(kernel)                    \
    template decltype(kernel<float>) kernel<float>; \
    template decltype(kernel<bfloat16>) kernel<bfloat16>
