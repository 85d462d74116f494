// a-CNPD's polarizer: the router (router.h), and a batch norm with frozen statistics that all
// classes share, folded into one affine map of the channels for each class (kernels/polarizer).
//
//     attention[y] = softmax(queries[y] . keys / sqrt(width))
//     A[y] = diag(scale) sum_m attention[y,m] experts[m]      scale = gamma / sqrt(variance + eps)
//     b[y] = beta - mean * scale
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"
#include "kernels/router/router.h"

namespace cnpd::kernels {

struct RoutedShape {
    std::int64_t classes = 0, experts = 0;  // at least 1 expert
    std::int64_t width = 0;                 // of a query and of a key
    std::int64_t channels = 0;              // C

    CNPD_HOST_DEVICE AttentionShape attention() const { return {classes, experts, width}; }
    MixtureShape mixture() const { return {classes, experts, channels * channels}; }
};

struct RouterParameters {
    const float *queries, *keys, *experts;        // [classes,width], [experts,width], [experts,C,C]
    const float *gamma, *beta, *mean, *variance;  // [C]
    float eps = 1e-5f;
};

// Writes attention [classes,experts], a [classes,C,C] in the activations' type, its transposed maps
// (null: not wanted) and b [classes,C].
CNPD_ACTIVATION_KERNEL(void routed_maps(const RoutedShape& shape,
                                        const RouterParameters& parameters, float* attention,
                                        Activation* a, Activation* transposed, float* b))

// Gradients of the parameters that A depends on, in the parameters' shapes; all written.
struct RouterGradients {
    float *queries, *keys, *experts, *gamma;
};
// From da [classes,C,C], with the attention that routed_maps has written.
CNPD_KERNEL(void routed_maps_backward(const RoutedShape& shape, const RouterParameters& parameters,
                                      const float* attention, const float* da,
                                      const RouterGradients& gradients))

// From db [classes,C] to dgamma and dbeta [C], both written.
CNPD_KERNEL(void routed_shift_backward(std::int64_t classes, std::int64_t channels,
                                       const RouterParameters& parameters, const float* db,
                                       float* dgamma, float* dbeta))

}  // namespace cnpd::kernels
