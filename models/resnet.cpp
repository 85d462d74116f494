#include "models/resnet.h"

#include "engine/ops.h"

namespace cnpd::models {

namespace nn = engine::nn;
namespace ops = engine::ops;

ResNetBlock::ResNetBlock(const BlockSettings& s, engine::Generator& generator,
                         engine::Device device)
    : conv1_({.in = s.in, .out = s.out, .stride = s.stride}, generator, device),
      conv2_({.in = s.out, .out = s.out}, generator, device) {
    register_module("conv1", conv1_.convolution);
    register_module("bn1", conv1_.norm);
    register_module("conv2", conv2_.convolution);
    register_module("bn2", conv2_.norm);
    if (!s.changes_shape()) return;
    shortcut_ = std::make_unique<NormalisedConvolution>(
        nn::ConvolutionSettings{
            .in = s.in, .out = s.out, .kernel = 1, .stride = s.stride, .padding = 0},
        generator, device);
    shortcut_sequence_.add("0", shortcut_->convolution);
    shortcut_sequence_.add("1", shortcut_->norm);
    register_module("downsample", shortcut_sequence_);
}

void ResNetBlock::fold() {
    conv1_.fold();
    conv2_.fold();
    if (shortcut_) shortcut_->fold();
}

void ResNetBlock::unfold() {
    conv1_.unfold();
    conv2_.unfold();
    if (shortcut_) shortcut_->unfold();
}

ResNet::ResNet(const ModelOptions& options, const std::array<int, 4>& blocks,
               engine::Generator& generator, engine::Device device)
    : Classifier(options.activations),
      stem_({.in = options.channels, .out = options.width}, generator, device),
      fc_(8 * options.width, options.classes, generator, device),
      stages_(options.width, blocks, generator, device) {
    register_module("conv1", stem_.convolution);
    register_module("bn1", stem_.norm);
    for (int stage = 1; const auto& module : stages_.modules())
        register_module(fmt::format("layer{}", stage++), *module);
    register_module("fc", fc_);
}

Cut ResNet::prefix(const Tensor& input, std::string_view point) const {
    return stages_.prefix(stem_.with_relu(ops::cast(input, activations())), point);
}

Tensor ResNet::suffix(const Cut& cut, std::string_view point) const {
    return fc_(stages_.pooled_suffix(cut, point));
}

void ResNet::fold() {
    stem_.fold();
    stages_.fold();
}

void ResNet::unfold() {
    stem_.unfold();
    stages_.unfold();
}

}  // namespace cnpd::models
