#include "cnpd/defenses/polarizing/polarizers/a_cnpd.h"

#include "cnpd/ops/router.h"
#include "cnpd/streams.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "kernels/common/error.h"

namespace cnpd::polarizers {

ACnpd::ACnpd(const Settings& s, engine::Device device) {
    if (s.experts < 1) throw InputError("a-cnpd: at least one expert");
    constexpr float kDeviation = 2;
    engine::Generator generator(s.seed, streams::kPolarizer);
    queries_ = register_parameter(
        "queries", engine::normal_tensor(generator, {s.classes, s.width}, kDeviation, device));
    keys_ = register_parameter(
        "keys", engine::normal_tensor(generator, {s.experts, s.width}, kDeviation, device));
    experts_ = register_parameter("experts", identity_maps(s.experts, s.channels, device));
    gamma_ = register_parameter("bn.weight", Tensor::full({s.channels}, 1, device));
    beta_ = register_parameter("bn.bias", Tensor::full({s.channels}, 0, device));
    mean_ = register_buffer("bn.running_mean", Tensor::full({s.channels}, 0, device));
    variance_ = register_buffer("bn.running_var", Tensor::full({s.channels}, 1, device));
    ones_ = Tensor::full({s.classes, 1}, 1, device);
    set_requires_grad(true);
    trained_ = ClippedTogether("a-cnpd", parameters());
    refresh();
}

void ACnpd::calibrate(const FeatureStatistics& statistics) {
    set(calibration(statistics, of_class_.eps), {gamma_, beta_, mean_, variance_});
    refresh();
}

void ACnpd::refresh() {
    // Repeats a vector shared by all classes for each class: a mixture of one expert.
    const auto spread = [&](const Tensor& vector) {
        return ops::mix_experts(ones_, engine::ops::reshape(vector, {1, vector.elements()}));
    };
    attention_ = ops::router_attention(queries_, keys_);
    of_class_ = {.weight = ops::mix_experts(attention_, experts_),
                 .gamma = spread(gamma_),
                 .beta = spread(beta_),
                 .mean = spread(mean_).detach(),
                 .variance = spread(variance_).detach()};
    maps_ = ops::fold_polarizer(of_class_);
}

Tensor ACnpd::apply(const Tensor& z, const Tensor& labels) const {
    if (batch_norm_mode() == BatchNormMode::frozen)
        return ops::polarize(z, labels, of_class_, maps_);
    // One batch norm after all maps. The maps run with an identity batch norm.
    const engine::Shape shape = of_class_.gamma.shape();
    ops::PolarizerParameters maps{.weight = of_class_.weight,
                                  .gamma = Tensor::full(shape, 1, z.device()),
                                  .beta = Tensor::full(shape, 0, z.device()),
                                  .mean = Tensor::full(shape, 0, z.device()),
                                  .variance = Tensor::full(shape, 1, z.device()),
                                  .eps = 0};
    const Tensor u = ops::polarize(z, labels, maps, ops::fold_polarizer(maps));
    return engine::ops::batch_norm(u, {.gamma = gamma_,
                                       .beta = beta_,
                                       .running_mean = mean_,
                                       .running_variance = variance_,
                                       .training = true,
                                       .eps = of_class_.eps});
}

std::vector<engine::ParameterGroup> ACnpd::parameter_groups(double weight_decay) {
    return {{.parameters = {queries_, keys_}, .learning_rate_factor = 10},
            {.parameters = {experts_, gamma_, beta_}, .weight_decay = weight_decay}};
}

void ACnpd::prepare_gradients(double clip_norm) {
    trained_.clip(clip_norm);
}

}  // namespace cnpd::polarizers
