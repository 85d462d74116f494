#include "models/preact_resnet.h"

#include "engine/ops.h"

namespace cnpd::models {

namespace nn = engine::nn;
namespace ops = engine::ops;

PreActBlock::PreActBlock(const BlockSettings& s, engine::Generator& generator,
                         engine::Device device)
    : bn1_(s.in, device),
      conv1_bn2_({.in = s.in, .out = s.out, .stride = s.stride}, generator, device),
      conv2_({.in = s.out, .out = s.out}, generator, device) {
    register_module("bn1", bn1_);
    register_module("conv1", conv1_bn2_.convolution);
    register_module("bn2", conv1_bn2_.norm);
    register_module("conv2", conv2_);
    if (!s.changes_shape()) return;
    shortcut_ = std::make_unique<nn::Convolution>(
        nn::ConvolutionSettings{
            .in = s.in, .out = s.out, .kernel = 1, .stride = s.stride, .padding = 0},
        generator, device);
    shortcut_sequence_.add("0", *shortcut_);
    register_module("shortcut", shortcut_sequence_);
}

Cut PreActBlock::enter(const Tensor& x) const {
    const Tensor h = bn1_.with_relu(x);
    return {h, shortcut_ ? (*shortcut_)(h) : x};
}

Tensor PreActBlock::leave(const Cut& cut) const {
    return conv2_(conv1_bn2_.with_relu(cut.z), cut.residual);
}

// conv2 is followed only by linear operations, so it need not be computed at every pixel.
Tensor PreActBlock::leave_pooled(const Cut& cut) const {
    return ops::add(conv2_.mean(conv1_bn2_.with_relu(cut.z)),
                    ops::global_average_pool(cut.residual));
}

PreActResNet::PreActResNet(const ModelOptions& options, const std::array<int, 4>& blocks,
                           engine::Generator& generator, engine::Device device)
    : Classifier(options.activations),
      stem_({.in = options.channels, .out = options.width}, generator, device),
      linear_(8 * options.width, options.classes, generator, device),
      stages_(options.width, blocks, generator, device) {
    register_module("conv1", stem_);
    for (int stage = 1; const auto& module : stages_.modules())
        register_module(fmt::format("layer{}", stage++), *module);
    register_module("linear", linear_);
}

Cut PreActResNet::prefix(const Tensor& input, std::string_view point) const {
    return stages_.prefix(stem_(ops::cast(input, activations())), point);
}

Tensor PreActResNet::suffix(const Cut& cut, std::string_view point) const {
    return linear_(stages_.pooled_suffix(cut, point));
}

}  // namespace cnpd::models
