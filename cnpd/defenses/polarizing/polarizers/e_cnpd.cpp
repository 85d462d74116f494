#include "cnpd/defenses/polarizing/polarizers/e_cnpd.h"

#include "cnpd/ops/router.h"
#include "cnpd/streams.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"

namespace cnpd::polarizers {

namespace {

Tensor add(const Tensor& a, const Tensor& b) {
    return engine::ops::add(a, b);
}
Tensor multiply(const Tensor& a, const Tensor& b) {
    return engine::ops::multiply(a, b);
}

// Identity batch norm for maps of this shape.
ops::PolarizerParameters without_batch_norm(const Tensor& weight, const Tensor& gamma,
                                            const Tensor& beta) {
    return {.weight = weight,
            .gamma = gamma,
            .beta = beta,
            .mean = Tensor::full(gamma.shape(), 0, gamma.device()),
            .variance = Tensor::full(gamma.shape(), 1, gamma.device()),
            .eps = 0};
}

}  // namespace

ECnpd::ECnpd(const Settings& s, engine::Device device) : kind_(s.embedding) {
    engine::Generator generator(s.seed, streams::kPolarizer);
    const auto zeros = [&](const char* name) {
        return register_parameter(name, Tensor::full({s.channels, s.width}, 0, device));
    };
    const auto row = [&](float value) { return Tensor::full({1, s.channels}, value, device); };
    embedding_ = register_parameter(
        "embedding.weight", engine::normal_tensor(generator, {s.classes, s.width}, 1, device));
    weight_ = register_parameter("conv.weight", identity_maps(1, s.channels, device));
    if (kind_ == Embedding::concat) {
        concat_ = zeros("conv_embedding.weight");
    } else {
        identity_ = identity_maps(s.classes, s.channels, device);
        scale_ = zeros("scale.weight");
        shift_ = zeros("shift.weight");
    }
    gamma_ = register_parameter("bn.weight", row(1));
    beta_ = register_parameter("bn.bias", row(0));
    mean_ = register_buffer("bn.running_mean", row(0));
    variance_ = register_buffer("bn.running_var", row(1));
    zeros_ = Tensor::full({s.channels}, 0, device);
    ones_ = Tensor::full({s.classes, 1}, 1, device);
    set_requires_grad(true);
    trained_ = ClippedTogether("e-cnpd", parameters());
    refresh();
}

void ECnpd::calibrate(const FeatureStatistics& statistics) {
    set(calibration(statistics, of_class_.eps), {gamma_, beta_, mean_, variance_});
    refresh();
}

Tensor ECnpd::of_classes(const Tensor& matrix) const {
    return engine::ops::linear(embedding_, matrix, zeros_);
}

// Both kinds are equivalent to a separate batch norm for each class after the shared convolution.
void ECnpd::refresh() {
    const auto spread = [&](const Tensor& shared) { return ops::mix_experts(ones_, shared); };
    of_class_ = {.weight = spread(weight_),
                 .gamma = spread(gamma_),
                 .beta = spread(beta_),
                 .mean = spread(mean_).detach(),
                 .variance = spread(variance_).detach()};
    if (kind_ == Embedding::concat) {
        // BN(u + e) = BN(u) + gamma inv_std e
        const Tensor inv_std = engine::ops::inverse_std(of_class_.variance, of_class_.eps);
        of_class_.beta =
            add(of_class_.beta, multiply(multiply(of_class_.gamma, inv_std), of_classes(concat_)));
    } else {
        const Tensor factor =
            add(Tensor::full(of_class_.gamma.shape(), 1, weight_.device()), of_classes(scale_));
        of_class_.gamma = multiply(of_class_.gamma, factor);
        of_class_.beta = add(multiply(of_class_.beta, factor), of_classes(shift_));
    }
    maps_ = ops::fold_polarizer(of_class_, activations());
}

Tensor ECnpd::apply(const Tensor& z, const ops::Routes& routes) const {
    if (batch_norm_mode() == BatchNormMode::frozen) return ops::polarize(z, routes, maps_);
    // The shared batch norm uses all samples.
    const Tensor one = Tensor::full(of_class_.gamma.shape(), 1, z.device());
    const auto through = [&](const Tensor& x, const ops::PolarizerParameters& maps) {
        return ops::polarize(x, routes, ops::fold_polarizer(maps, activations()));
    };
    const auto normalised = [&](const Tensor& u) {
        const auto vector = [](const Tensor& row) {
            return engine::ops::reshape(row, {row.elements()});
        };
        return engine::ops::batch_norm(u, {.gamma = vector(gamma_),
                                           .beta = vector(beta_),
                                           .running_mean = mean_.view({mean_.elements()}),
                                           .running_variance = variance_.view({mean_.elements()}),
                                           .training = true,
                                           .eps = of_class_.eps});
    };
    const Tensor zero = Tensor::full(one.shape(), 0, z.device());
    if (kind_ == Embedding::concat)
        return normalised(
            through(z, without_batch_norm(of_class_.weight, one, of_classes(concat_))));
    return through(normalised(through(z, without_batch_norm(of_class_.weight, one, zero))),
                   without_batch_norm(identity_, add(one, of_classes(scale_)), of_classes(shift_)));
}

std::vector<engine::ParameterGroup> ECnpd::parameter_groups(double weight_decay) {
    engine::ParameterGroup rest{.parameters = {weight_, gamma_, beta_},
                                .weight_decay = weight_decay};
    for (const Tensor& matrix : {concat_, scale_, shift_})
        if (matrix.defined()) rest.parameters.push_back(matrix);
    return {{.parameters = {embedding_}, .learning_rate_factor = 10}, rest};
}

void ECnpd::prepare_gradients(double clip_norm) {
    trained_.clip(clip_norm);
}

}  // namespace cnpd::polarizers
