// The attention router of a-CNPD: the classes share M experts. Every class mixes the experts'
// weights according to the agreement of its query with the experts' keys.
//
//     attention[y,m] = softmax_m(queries[y] . keys[m] / sqrt(width))     [classes,experts]
//     mixed[y] = sum_m attention[y,m] experts[m]                         [classes,values]
//
// An expert is a row of `values` numbers, for example the C*C weights of a polarizer's convolution.
// Mixing is done once per step, not for every sample; afterwards the polarizer is one map for each
// class. Source: CNPD, arXiv 2502.18520.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct AttentionShape {
    std::int64_t classes = 0, experts = 0;  // at least 1 expert
    std::int64_t width = 0;                 // of a query and of a key
};

// queries [classes,width], keys [experts,width] -> attention [classes,experts]
CNPD_KERNEL(void router_attention(const AttentionShape& shape, const float* queries,
                                  const float* keys, float* attention))

// From dattention [classes,experts] to dqueries [classes,width] and dkeys [experts,width], both
// written.
CNPD_KERNEL(void router_attention_backward(const AttentionShape& shape, const float* queries,
                                           const float* keys, const float* attention,
                                           const float* dattention, float* dqueries, float* dkeys))

struct MixtureShape {
    std::int64_t classes = 0, experts = 0;
    std::int64_t values = 0;  // of an expert
};

// attention [classes,experts], experts [experts,values] -> mixed [classes,values]
CNPD_KERNEL(void mix_experts(const MixtureShape& shape, const float* attention,
                             const float* experts, float* mixed))

// dexperts[m] = sum_y attention[y,m] dmixed[y], in the order of the classes
CNPD_KERNEL(void mix_experts_backward(const MixtureShape& shape, const float* attention,
                                      const float* dmixed, float* dexperts))

// dattention[y,m] = <dmixed[y], experts[m]>
CNPD_KERNEL(void mix_experts_backward_attention(const MixtureShape& shape, const float* experts,
                                                const float* dmixed, float* dattention))

}  // namespace cnpd::kernels
