#include "cnpd/polarizers/r_cnpd.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "kernels/common/error.h"

namespace cnpd::polarizers {

using engine::DType;
using engine::nn::DiskLayout;

RCnpd::RCnpd(std::int64_t classes, std::int64_t channels, engine::Device device) {
    std::vector<float> identity(classes * channels * channels);
    for (std::int64_t i = 0; i < classes * channels; ++i) identity[i * channels + i % channels] = 1;
    stacked_ = {.weight = Tensor::from(identity, {classes, channels, channels}, device),
                .gamma = Tensor::full({classes, channels}, 1, device),
                .beta = Tensor::full({classes, channels}, 0, device),
                .mean = Tensor::full({classes, channels}, 0, device),
                .variance = Tensor::full({classes, channels}, 1, device)};
    for (Tensor* trained : {&stacked_.weight, &stacked_.gamma, &stacked_.beta})
        trained->set_requires_grad();
    factors_ = Tensor::full({classes}, 1, device);

    for (std::int64_t y = 0; y < classes; ++y) {
        const auto vector = [&](const Tensor& of) { return of.rows(y, 1).view({channels}); };
        const auto named = [&](const char* part) {
            return fmt::format("polarizers.{}.{}", y, part);
        };
        of_class_.push_back(
            {.weight = register_parameter(
                 named("conv.weight"), stacked_.weight.rows(y, 1).view({channels, 1, 1, channels}),
                 DiskLayout::filter),
             .gamma = register_parameter(named("bn.weight"), vector(stacked_.gamma)),
             .beta = register_parameter(named("bn.bias"), vector(stacked_.beta))});
        register_buffer(named("bn.running_mean"), vector(stacked_.mean));
        register_buffer(named("bn.running_var"), vector(stacked_.variance));
    }
    refresh();
}

void RCnpd::calibrate(const FeatureStatistics& s) {
    CNPD_CHECK_SHAPE(
        s.classes == stacked_.mean.shape()[0] && s.channels == stacked_.mean.shape()[1],
        "feature statistics of another model");
    constexpr float kMinimumVariance = 1e-4f;  // channels that are nearly always zero
    std::vector<float> variance = s.variance, gamma(variance.size());
    for (std::size_t i = 0; i < variance.size(); ++i) {
        variance[i] += kMinimumVariance;
        gamma[i] = std::sqrt(variance[i] + stacked_.eps);
    }
    const engine::Shape shape = stacked_.mean.shape();
    const engine::Device device = stacked_.mean.device();
    stacked_.mean.copy_from(Tensor::from(s.mean, shape, device));
    stacked_.variance.copy_from(Tensor::from(variance, shape, device));
    stacked_.gamma.copy_from(Tensor::from(gamma, shape, device));
    stacked_.beta.copy_from(Tensor::from(s.mean, shape, device));
    refresh();
}

void RCnpd::refresh() {
    maps_ = ops::fold_polarizer(stacked_);
}

Tensor RCnpd::apply(const Tensor& z, const Tensor& labels) const {
    if (batch_norm_mode() == BatchNormMode::train)
        return ops::polarize_with_batch_statistics(z, labels, stacked_);
    return ops::polarize(z, labels, stacked_, maps_);
}

std::vector<engine::ParameterGroup> RCnpd::parameter_groups(double weight_decay) {
    engine::ParameterGroup group{.parameters = {}, .weight_decay = weight_decay};
    for (std::size_t y = 0; y < of_class_.size(); ++y)
        for (const Tensor& parameter :
             {of_class_[y].weight, of_class_[y].gamma, of_class_[y].beta}) {
            group.parameters.push_back(parameter);
            group.active.push_back(factors_.rows(static_cast<std::int64_t>(y), 1));
        }
    return {group};
}

void RCnpd::prepare_gradients(double clip_norm) {
    const auto classes = static_cast<std::int64_t>(of_class_.size());
    std::vector<Tensor> gradients;
    for (Tensor* trained : {&stacked_.weight, &stacked_.gamma, &stacked_.beta}) {
        if (trained->grad().defined()) gradients.push_back(trained->grad());
        trained->zero_grad();
    }
    const bool any = gradients.size() == 3;
    if (any) engine::clip_rows(gradients, static_cast<double>(classes), clip_norm, factors_);
    // Only on the CPU does a look cost nothing. Elsewhere the optimizer sees which classes rest,
    // and the next loss tells of gradients that were not finite.
    std::vector<float> factors;
    if (any && factors_.device().backend == engine::Backend::cpu)
        factors = factors_.to_host<float>();
    for (std::int64_t y = 0; y < classes; ++y) {
        if (!factors.empty() && !std::isfinite(factors[y]))
            throw NumericError(
                fmt::format("the gradient of class {}'s polarizer is not finite", y));
        const bool rests = !any || (!factors.empty() && factors[y] == 0);
        OfClass& parameters = of_class_[y];
        Tensor* const views[] = {&parameters.weight, &parameters.gamma, &parameters.beta};
        for (int i = 0; i < 3; ++i)
            views[i]->set_grad(rests ? Tensor() : gradients[i].rows(y, 1).view(views[i]->shape()));
    }
}

}  // namespace cnpd::polarizers
