// The attention router of a-CNPD as operations of the engine; kernels/router has the formulas.
#pragma once

#include "engine/tensor.h"

namespace cnpd::ops {

using engine::Tensor;

// How much of each expert a class takes: queries [classes,d], keys [experts,d] ->
// [classes,experts], rows that add up to 1. Gradients flow to both.
Tensor router_attention(const Tensor& queries, const Tensor& keys);

// The experts [experts,...] mixed for each class: attention [classes,experts] -> [classes,...].
// Gradients flow to both.
Tensor mix_experts(const Tensor& attention, const Tensor& experts);

}  // namespace cnpd::ops
