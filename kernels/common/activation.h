// Kernels whose activations, and the gradients of these, are float32 or bfloat16. Parameters,
// statistics, sums and all arithmetic are float32 in either case; only stored activations are
// rounded.
#pragma once

#include "kernels/common/backend.h"
#include "kernels/common/bfloat16.h"

// Like CNPD_KERNEL, for a declaration that calls its type Activation: declares a template in
// `reference` and `cuda`, instantiated for float and bfloat16, and a float function in `cpu`.
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

// Instantiates such a template; goes after its definition.
#define CNPD_INSTANTIATE(kernel)                    \
    template decltype(kernel<float>) kernel<float>; \
    template decltype(kernel<bfloat16>) kernel<bfloat16>
