#include "cnpd/polarizers/polarizer.h"

namespace cnpd::polarizers {

Tensor Polarizer::infer(const Tensor& z, const Tensor& labels) const {
    const bool single = maps_.b.shape()[0] == 1;
    return ops::apply_maps(z, single ? Tensor() : labels, maps_);
}

}  // namespace cnpd::polarizers
