#include "cnpd/defenses/polarizing/polarizers/stacked.h"

#include <cmath>

#include <fmt/format.h>

#include "engine/autograd.h"
#include "engine/ops.h"

namespace cnpd::polarizers {

using engine::DType;
using engine::nn::DiskLayout;

namespace {

ops::PolarizerParameters identity(std::int64_t maps, std::int64_t channels, engine::Device device) {
    return {.weight = identity_maps(maps, channels, device),
            .gamma = Tensor::full({maps, channels}, 1, device),
            .beta = Tensor::full({maps, channels}, 0, device),
            .mean = Tensor::full({maps, channels}, 0, device),
            .variance = Tensor::full({maps, channels}, 1, device)};
}

}  // namespace

StackedPolarizer::StackedPolarizer(std::int64_t maps, std::int64_t channels, Structure structure,
                                   const std::string& prefix, engine::Device device)
    : count_(maps), factors_(Tensor::full({maps}, 1, device)) {
    const bool convolves = structure != Structure::bn, normalises = structure != Structure::conv;
    const std::size_t layers = structure == Structure::double_conv_bn ? 2 : 1;
    for (std::size_t i = 0; i < layers; ++i)
        layers_.push_back({identity(maps, channels, device), {}});

    // Map by map. Layers that are not trained stay the identity and are written too, so that all
    // structures have the same file format.
    for (std::int64_t y = 0; y < maps; ++y)
        for (std::size_t i = 0; i < layers; ++i) {
            ops::PolarizerParameters& stacked = layers_[i].stacked;
            const auto vector = [&](const Tensor& of) { return of.rows(y, 1).view({channels}); };
            const auto named = [&](const char* layer, const char* part) {
                return fmt::format(fmt::runtime(prefix), y) + layer + (i == 0 ? "" : "2") + part;
            };
            const auto add = [&](bool train, const std::string& name, const Tensor& view,
                                 DiskLayout layout = DiskLayout::same) {
                return train ? register_parameter(name, view, layout) : register_buffer(name, view);
            };
            // Buffers can only be vectors, so an untrained convolution, which is the identity, is
            // omitted.
            std::vector<Tensor> views;
            if (convolves)
                views.push_back(add(true, named("conv", ".weight"),
                                    stacked.weight.rows(y, 1).view({channels, 1, 1, channels}),
                                    DiskLayout::filter));
            const Tensor gamma = add(normalises, named("bn", ".weight"), vector(stacked.gamma));
            const Tensor beta = add(normalises, named("bn", ".bias"), vector(stacked.beta));
            if (normalises) views.insert(views.end(), {gamma, beta});
            add(false, named("bn", ".running_mean"), vector(stacked.mean));
            add(false, named("bn", ".running_var"), vector(stacked.variance));

            std::vector<Tensor*> wholes;
            if (convolves) wholes.push_back(&stacked.weight);
            if (normalises) wholes.insert(wholes.end(), {&stacked.gamma, &stacked.beta});
            for (std::size_t k = 0; k < views.size(); ++k) {
                if (y == 0) {
                    wholes[k]->set_requires_grad();
                    trained_.push_back({*wholes[k], {}});
                }
                trained_[i * wholes.size() + k].of_map.push_back(views[k]);
            }
        }
    refresh();
}

void StackedPolarizer::calibrate(const FeatureStatistics& statistics) {
    // The first layer starts as the identity, so the second layer gets the same features.
    for (Layer& layer : layers_) {
        const Calibration start = count_ == 1 ? calibration(statistics, layer.stacked.eps)
                                              : calibration_by_class(statistics, layer.stacked.eps);
        const ops::PolarizerParameters& norm = layer.stacked;
        set(start, {norm.gamma, norm.beta, norm.mean, norm.variance});
    }
    refresh();
}

void StackedPolarizer::refresh() {
    // A failed recording may have stopped between gradients and update.
    for (Trained& each : trained_) each.whole.zero_grad();
    for (Layer& layer : layers_) layer.maps = ops::fold_polarizer(layer.stacked, activations());
    if (layers_.size() == 1) maps_ = layers_.front().maps;
}

Tensor StackedPolarizer::apply(const Tensor& z, const ops::Routes& routes) const {
    Tensor y = z;
    for (const Layer& layer : layers_)
        y = batch_norm_mode() == BatchNormMode::train
                ? ops::polarize_with_batch_statistics(y, routed(routes), layer.stacked)
                : ops::polarize(y, routed(routes), layer.maps);
    return y;
}

Tensor StackedPolarizer::infer(const Tensor& z, const ops::Routes& routes) const {
    const engine::NoGrad no_grad;
    Tensor y = z;
    for (const Layer& layer : layers_) y = ops::polarize(y, routed(routes), layer.maps);
    return y;
}

std::vector<engine::ParameterGroup> StackedPolarizer::parameter_groups(double weight_decay) {
    engine::ParameterGroup group{.parameters = {}, .weight_decay = weight_decay};
    for (std::int64_t y = 0; y < count_; ++y)
        for (const Trained& each : trained_) {
            group.parameters.push_back(each.of_map[y]);
            group.active.push_back(factors_.rows(y, 1));
        }
    return {group};
}

void StackedPolarizer::prepare_gradients(double clip_norm) {
    std::vector<Tensor> gradients;
    for (Trained& each : trained_) {
        if (each.whole.grad().defined()) gradients.push_back(each.whole.grad());
        each.whole.zero_grad();
    }
    const bool any = gradients.size() == trained_.size();
    if (any) engine::clip_rows(gradients, static_cast<double>(count_), clip_norm, factors_);
    // Reading is free only on the CPU. On other devices the optimizer skips maps without gradients,
    // and the next loss shows gradients that were not finite.
    std::vector<float> factors;
    if (any && factors_.device().backend == engine::Backend::cpu)
        factors = factors_.to_host<float>();
    for (std::int64_t y = 0; y < count_; ++y) {
        if (!factors.empty() && !std::isfinite(factors[y]))
            throw_diverged(count_ == 1 ? "the polarizer" : fmt::format("class {}'s polarizer", y));
        const bool rests = !any || (!factors.empty() && factors[y] == 0);
        for (std::size_t k = 0; k < trained_.size(); ++k) {
            Tensor& view = trained_[k].of_map[y];
            view.set_grad(rests ? Tensor() : gradients[k].rows(y, 1).view(view.shape()));
        }
    }
}

}  // namespace cnpd::polarizers
