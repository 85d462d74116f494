#include "cnpd/defenses/polarizing/polarizers/a_cnpd.h"

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
    router_.queries = register_parameter(
        "queries", engine::normal_tensor(generator, {s.classes, s.width}, kDeviation, device));
    router_.keys = register_parameter(
        "keys", engine::normal_tensor(generator, {s.experts, s.width}, kDeviation, device));
    router_.experts = register_parameter("experts", identity_maps(s.experts, s.channels, device));
    router_.gamma = register_parameter("bn.weight", Tensor::full({s.channels}, 1, device));
    router_.beta = register_parameter("bn.bias", Tensor::full({s.channels}, 0, device));
    router_.mean = register_buffer("bn.running_mean", Tensor::full({s.channels}, 0, device));
    router_.variance = register_buffer("bn.running_var", Tensor::full({s.channels}, 1, device));
    set_requires_grad(true);
    trained_ = ClippedTogether("a-cnpd", parameters());
    refresh();
}

void ACnpd::calibrate(const FeatureStatistics& statistics) {
    set(calibration(statistics, router_.eps),
        {router_.gamma, router_.beta, router_.mean, router_.variance});
    refresh();
}

void ACnpd::refresh() {
    const ops::RoutedMaps routed = ops::route_maps(router_, activations());
    attention_ = routed.attention;
    maps_ = routed.maps;
}

Tensor ACnpd::apply(const Tensor& z, const ops::Routes& routes) const {
    if (batch_norm_mode() == BatchNormMode::frozen) return ops::polarize(z, routes, maps_);
    // One batch norm after all maps, which are mixed without one.
    const Tensor one = Tensor::full(router_.gamma.shape(), 1, z.device());
    const Tensor zero = Tensor::full(router_.gamma.shape(), 0, z.device());
    ops::RouterParameters mixing = router_;
    mixing.gamma = mixing.variance = one;
    mixing.beta = mixing.mean = zero;
    mixing.eps = 0;
    const Tensor u = ops::polarize(z, routes, ops::route_maps(mixing, activations()).maps);
    return engine::ops::batch_norm(u, {.gamma = router_.gamma,
                                       .beta = router_.beta,
                                       .running_mean = router_.mean,
                                       .running_variance = router_.variance,
                                       .training = true,
                                       .eps = router_.eps});
}

std::vector<engine::ParameterGroup> ACnpd::parameter_groups(double weight_decay) {
    return {{.parameters = {router_.queries, router_.keys}, .learning_rate_factor = 10},
            {.parameters = {router_.experts, router_.gamma, router_.beta},
             .weight_decay = weight_decay}};
}

void ACnpd::prepare_gradients(double clip_norm) {
    trained_.clip(clip_norm);
}

}  // namespace cnpd::polarizers
