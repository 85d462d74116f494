#include "cnpd/defenses/polarizing/polarizers/polarizer.h"

#include <cmath>

#include <fmt/format.h>

#include "engine/autograd.h"
#include "kernels/common/error.h"

namespace cnpd::polarizers {

Tensor Polarizer::infer(const Tensor& z, const ops::Routes& routes) const {
    const engine::NoGrad no_grad;
    const bool single = maps_.b.shape()[0] == 1;
    return ops::polarize(z, single ? ops::Routes() : routes, maps_);
}

void throw_diverged(const std::string& owner) {
    throw NumericError(fmt::format(
        "the gradient of {} is not finite; try a smaller --lr or a smaller --clip-norm", owner));
}

ClippedTogether::ClippedTogether(std::string owner, std::vector<Tensor> parameters)
    : owner_(std::move(owner)),
      parameters_(std::move(parameters)),
      factor_(Tensor::full({1}, 1, parameters_.front().device())) {}

void ClippedTogether::clip(double norm) {
    std::vector<Tensor> gradients;
    for (const Tensor& parameter : parameters_)
        if (const Tensor gradient = parameter.grad(); gradient.defined())
            gradients.push_back(gradient.view({1, gradient.elements()}));
    if (gradients.empty()) return;
    engine::clip_rows(gradients, 1, norm, factor_);
    if (factor_.device().backend == engine::Backend::cpu && !std::isfinite(factor_.item()))
        throw_diverged(owner_);
}

}  // namespace cnpd::polarizers
