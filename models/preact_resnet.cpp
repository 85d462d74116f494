#include "models/preact_resnet.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/ops.h"
#include "kernels/common/error.h"

namespace cnpd::models {

namespace nn = engine::nn;
namespace ops = engine::ops;

namespace {
// A module that only groups others under a name.
class Group : public nn::Module {
  public:
    void add(std::string name, nn::Module& child) { register_module(std::move(name), child); }
};
}  // namespace

PreActBlock::PreActBlock(const Settings& s, engine::Generator& generator, engine::Device device)
    : bn1_(s.in, device),
      conv1_({.in = s.in, .out = s.out, .stride = s.stride}, generator, device),
      bn2_(s.out, device),
      conv2_({.in = s.out, .out = s.out}, generator, device) {
    register_module("bn1", bn1_);
    register_module("conv1", conv1_);
    register_module("bn2", bn2_);
    register_module("conv2", conv2_);
    if (s.stride == 1 && s.in == s.out) return;
    shortcut_ = std::make_unique<nn::Convolution>(
        nn::ConvolutionSettings{
            .in = s.in, .out = s.out, .kernel = 1, .stride = s.stride, .padding = 0},
        generator, device);
    auto sequence = std::make_unique<Group>();
    sequence->add("0", *shortcut_);
    shortcut_sequence_ = std::move(sequence);
    register_module("shortcut", *shortcut_sequence_);
}

Cut PreActBlock::enter(const Tensor& x) const {
    const Tensor h = bn1_.with_relu(x);
    return {h, shortcut_ ? (*shortcut_)(h) : x};
}

Tensor PreActBlock::leave(const Cut& cut) const {
    if (!folded_filter_.defined()) return conv2_(bn2_.with_relu(conv1_(cut.z)), cut.residual);
    const Tensor middle = ops::convolution(cut.z, folded_filter_,
                                           {.stride = conv1_.stride(),
                                            .padding = conv1_.padding(),
                                            .bias = folded_bias_,
                                            .relu = true});
    return conv2_(middle, cut.residual);
}

void PreActBlock::fold() {
    const engine::Device device = conv1_.weight.device();
    const auto host = [](const Tensor& tensor) { return tensor.to_host<float>(); };
    const auto gamma = host(bn2_.weight), beta = host(bn2_.bias), mean = host(bn2_.running_mean),
               variance = host(bn2_.running_var);
    std::vector<float> filter = host(conv1_.weight), bias(gamma.size());
    const std::size_t taps = filter.size() / gamma.size();
    for (std::size_t k = 0; k < gamma.size(); ++k) {
        const float scale = gamma[k] / std::sqrt(variance[k] + nn::BatchNorm::kEps);
        bias[k] = beta[k] - mean[k] * scale;
        for (std::size_t i = 0; i < taps; ++i) filter[k * taps + i] *= scale;
    }
    folded_filter_ = Tensor::from(filter, conv1_.weight.shape(), device);
    folded_bias_ = Tensor::from(bias, bn2_.bias.shape(), device);
}

void PreActBlock::unfold() {
    folded_filter_ = folded_bias_ = {};
}

PreActResNet::PreActResNet(const ModelOptions& options, const std::array<int, 4>& blocks,
                           engine::Generator& generator, engine::Device device)
    : activations_(options.activations),
      stem_({.in = options.channels, .out = options.width}, generator, device),
      linear_(8 * options.width, options.classes, generator, device) {
    register_module("conv1", stem_);
    std::int64_t in = options.width;
    for (int stage = 0; stage < 4; ++stage) {
        auto group = std::make_unique<Group>();
        const std::int64_t out = options.width << stage;
        for (int i = 0; i < blocks[stage]; ++i) {
            const std::int64_t stride = stage > 0 && i == 0 ? 2 : 1;
            blocks_.push_back(std::make_unique<PreActBlock>(
                PreActBlock::Settings{.in = in, .out = out, .stride = stride}, generator, device));
            group->add(std::to_string(i), *blocks_.back());
            points_.push_back(fmt::format("layer{}.{}.conv1", stage + 1, i));
            in = out;
        }
        register_module(fmt::format("layer{}", stage + 1), *group);
        stages_.push_back(std::move(group));
    }
    register_module("linear", linear_);
}

std::size_t PreActResNet::block_of(std::string_view point) const {
    const auto found = std::find(points_.begin(), points_.end(), point);
    if (found == points_.end())
        throw InputError(fmt::format("unknown insertion point '{}'; known: {}", point,
                                     fmt::join(points_, ", ")));
    return static_cast<std::size_t>(found - points_.begin());
}

Cut PreActResNet::prefix(const Tensor& input, std::string_view point) const {
    const std::size_t last = block_of(point);
    Tensor x = stem_(ops::cast(input, activations_));
    for (std::size_t i = 0; i < last; ++i) x = (*blocks_[i])(x);
    return blocks_[last]->enter(x);
}

Tensor PreActResNet::suffix(const Cut& cut, std::string_view point) const {
    const std::size_t first = block_of(point);
    Tensor x = blocks_[first]->leave(cut);
    for (std::size_t i = first + 1; i < blocks_.size(); ++i) x = (*blocks_[i])(x);
    return linear_(ops::global_average_pool(x));
}

std::vector<std::string> PreActResNet::insertion_points() const {
    return points_;
}

void PreActResNet::freeze() {
    eval();
    set_requires_grad(false);
    for (const auto& block : blocks_) block->fold();
}

void PreActResNet::unfreeze() {
    train();
    set_requires_grad(true);
    for (const auto& block : blocks_) block->unfold();
}

}  // namespace cnpd::models
