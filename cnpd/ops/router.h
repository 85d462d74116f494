// The attention router of a-CNPD as operations of the engine; kernels/router has the formulas.
#pragma once

#include "cnpd/ops/polarizer.h"
#include "engine/tensor.h"

namespace cnpd::ops {

using engine::Tensor;

// Experts shared by all classes, and one batch norm with frozen statistics.
struct RouterParameters {
    Tensor queries, keys;                // [classes,d], [experts,d]
    Tensor experts;                      // [experts,C,C], output channel first
    Tensor gamma, beta, mean, variance;  // [C]
    float eps = 1e-5f;
};

struct RoutedMaps {
    Tensor attention;  // [classes,experts]; rows add up to 1. Not recorded.
    AffineMaps maps;   // one for each class
};
// Mixes the experts by attention and folds the batch norm. Gradients flow from the maps to queries,
// keys, experts, gamma and beta.
RoutedMaps route_maps(const RouterParameters& parameters,
                      engine::DType activations = engine::DType::float32);

// Weighted sum of the experts [experts,...] for each class: attention [classes,experts] ->
// [classes,...]. Gradients flow to both.
Tensor mix_experts(const Tensor& attention, const Tensor& experts);

}  // namespace cnpd::ops
