// ResNets (He et al., "Deep residual learning for image recognition", 2016) of basic blocks for
// small images: torchvision's, except for a 3x3 stem of stride 1 without max pooling, for any image
// size. Names are torchvision's.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "engine/nn/layers.h"
#include "models/classifier.h"
#include "models/residual_stages.h"

namespace cnpd::models {

// x -> relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut) The shortcut is x itself, or batch norm of
// a 1x1 convolution of x if the shape changes.
class ResNetBlock : public engine::nn::Module {
  public:
    ResNetBlock(const BlockSettings& settings, engine::Generator& generator, engine::Device device);

    // Up to conv1's input, which is the block's input, and from there to the block's output.
    Cut enter(const Tensor& x) const { return {x, shortcut_ ? (*shortcut_)(x) : x}; }
    Tensor leave(const Cut& cut) const {
        return conv2_.with_relu(conv1_.with_relu(cut.z), cut.residual);
    }

    Tensor leave_pooled(const Cut& cut) const {
        return engine::ops::global_average_pool(leave(cut));
    }

    void fold();
    void unfold();

  private:
    NormalisedConvolution conv1_, conv2_;
    Group shortcut_sequence_;
    std::unique_ptr<NormalisedConvolution> shortcut_;
};

class ResNet : public Classifier {
  public:
    ResNet(const ModelOptions& options, const std::array<int, 4>& blocks,
           engine::Generator& generator, engine::Device device);

    Cut prefix(const Tensor& input, std::string_view point) const override;
    Tensor suffix(const Cut& cut, std::string_view point) const override;
    std::vector<std::string> insertion_points() const override { return stages_.points(); }
    std::string insertion_point() const override { return stages_.points().back(); }
    std::int64_t classes() const override { return fc_.bias.elements(); }

  private:
    void fold() override;
    void unfold() override;

    NormalisedConvolution stem_;
    engine::nn::Linear fc_;
    ResidualStages<ResNetBlock> stages_;
};

}  // namespace cnpd::models
