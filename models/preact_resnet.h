// Pre-activation ResNets for small images (He et al., "Identity mappings in deep residual
// networks", 2016), in the form used in the backdoor literature: a 3x3 stem without batch norm,
// four stages of basic blocks with w, 2w, 4w, 8w channels, no batch norm after the last block,
// global average pooling and one linear layer.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "engine/nn/layers.h"
#include "models/classifier.h"
#include "models/residual_stages.h"

namespace cnpd::models {

// x -> conv2(relu(bn2(conv1(h)))) + shortcut,  h = relu(bn1(x)). The shortcut is x itself, or a 1x1
// convolution of h if the shape changes.
class PreActBlock : public engine::nn::Module {
  public:
    PreActBlock(const BlockSettings& settings, engine::Generator& generator, engine::Device device);

    // Up to conv1's input, and from there to the block's output.
    Cut enter(const Tensor& x) const;
    Tensor leave(const Cut& cut) const;
    Tensor leave_pooled(const Cut& cut) const;

    // Folds bn2 into conv1, whose output no other layer reads. bn1 cannot be folded: the shortcut
    // also reads its input.
    void fold() { conv1_bn2_.fold(); }
    void unfold() { conv1_bn2_.unfold(); }

  private:
    engine::nn::BatchNorm bn1_;
    NormalisedConvolution conv1_bn2_;
    engine::nn::Convolution conv2_;
    Group shortcut_sequence_;
    std::unique_ptr<engine::nn::Convolution> shortcut_;
};

class PreActResNet : public Classifier {
  public:
    PreActResNet(const ModelOptions& options, const std::array<int, 4>& blocks,
                 engine::Generator& generator, engine::Device device);

    Cut prefix(const Tensor& input, std::string_view point) const override;
    Tensor suffix(const Cut& cut, std::string_view point) const override;
    std::vector<std::string> insertion_points() const override { return stages_.points(); }
    std::string insertion_point() const override { return stages_.points().back(); }
    std::int64_t classes() const override { return linear_.bias.elements(); }

  private:
    void fold() override { stages_.fold(); }
    void unfold() override { stages_.unfold(); }

    engine::nn::Convolution stem_;
    engine::nn::Linear linear_;
    ResidualStages<PreActBlock> stages_;
};

}  // namespace cnpd::models
