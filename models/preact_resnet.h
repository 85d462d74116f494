// Pre-activation ResNets for small images (He et al., "Identity mappings in deep residual
// networks", 2016), in the form that the backdoor literature measures: a 3x3 stem without batch
// norm, four stages of basic blocks with w, 2w, 4w, 8w channels, no batch norm behind the last
// block, global average pooling and one linear layer.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "engine/nn/layers.h"
#include "models/classifier.h"

namespace cnpd::models {

// x -> conv2(relu(bn2(conv1(h)))) + shortcut,  h = relu(bn1(x)).
// The shortcut is x itself, or a 1x1 convolution of h where the shape changes.
class PreActBlock : public engine::nn::Module {
  public:
    struct Settings {
        std::int64_t in, out, stride;
    };
    PreActBlock(const Settings& settings, engine::Generator& generator, engine::Device device);

    Tensor operator()(const Tensor& x) const { return leave(enter(x)); }
    // Up to conv1's input, and on from there.
    Cut enter(const Tensor& x) const;
    Tensor leave(const Cut& cut) const;

    // Folds bn2, whose input nobody else sees, into conv1; undone by unfold().
    void fold();
    void unfold();

  private:
    engine::nn::BatchNorm bn1_;
    engine::nn::Convolution conv1_;
    engine::nn::BatchNorm bn2_;
    engine::nn::Convolution conv2_;
    std::unique_ptr<engine::nn::Module> shortcut_sequence_;
    std::unique_ptr<engine::nn::Convolution> shortcut_;
    Tensor folded_filter_, folded_bias_;
};

class PreActResNet : public Classifier {
  public:
    PreActResNet(const ModelOptions& options, const std::array<int, 4>& blocks,
                 engine::Generator& generator, engine::Device device);

    Cut prefix(const Tensor& input, std::string_view point) const override;
    Tensor suffix(const Cut& cut, std::string_view point) const override;
    std::vector<std::string> insertion_points() const override;
    std::string insertion_point() const override { return points_.back(); }
    std::int64_t classes() const override { return linear_.bias.elements(); }
    void freeze() override;
    void unfreeze() override;

  private:
    std::size_t block_of(std::string_view point) const;

    engine::DType activations_;
    engine::nn::Convolution stem_;
    std::vector<std::unique_ptr<engine::nn::Module>> stages_;
    std::vector<std::unique_ptr<PreActBlock>> blocks_;
    std::vector<std::string> points_;  // of each block
    engine::nn::Linear linear_;
};

}  // namespace cnpd::models
