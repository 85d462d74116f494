// The attention router of a-CNPD as operations of the engine; kernels/router has the formulas.
#pragma once

#include "engine/tensor.h"

namespace cnpd::ops {

using engine::Tensor;

// Attention of each class over the experts: queries [classes,d], keys [experts,d] ->
// [classes,experts]; rows add up to 1. Gradients flow to both.
Tensor router_attention(const Tensor& queries, const Tensor& keys);

// Weighted sum of the experts [experts,...] for each class: attention [classes,experts] ->
// [classes,...]. Gradients flow to both.
Tensor mix_experts(const Tensor& attention, const Tensor& experts);

}  // namespace cnpd::ops
