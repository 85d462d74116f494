// VGGs with batch norm (Simonyan and Zisserman, "Very deep convolutional networks for large-scale
// image recognition", 2015) in torchvision's form and with its names: 3x3 convolutions with a bias
// in five stages of w, 2w, 4w, 8w, 8w channels, each of which ends in 2x2 max pooling. Images have
// at least 32x32 pixels.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "engine/nn/layers.h"
#include "models/classifier.h"
#include "models/parts.h"

namespace cnpd::models {

// torchvision's classifier: the features averaged to 7x7, and three linear layers, the first two
// with 64 w units, ReLU and dropout. For images below 224x224 the averages repeat features: at
// 32x32 the first layer gets every feature 49 times.
class VggClassifier : public engine::nn::Module {
  public:
    VggClassifier(std::int64_t width, std::int64_t classes, engine::Generator& generator,
                  engine::Device device);
    // [N,H,W,8w] -> [N,classes]
    Tensor operator()(const Tensor& features) const;

  private:
    engine::nn::ImageLinear first_;
    engine::nn::Linear second_, third_;
    engine::nn::Dropout first_dropout_, second_dropout_;
};

class Vgg : public Classifier {
  public:
    // `convolutions` per stage. options.head: "torchvision", as above, or "cifar", global average
    // pooling and one linear layer.
    Vgg(const ModelOptions& options, const std::array<int, 5>& convolutions,
        engine::Generator& generator, engine::Device device);

    Cut prefix(const Tensor& input, std::string_view point) const override;
    Tensor suffix(const Cut& cut, std::string_view point) const override;
    // All convolutions except the first one, whose input is the image. VGGs have no shortcuts: the
    // residual of a cut is undefined.
    std::vector<std::string> insertion_points() const override { return points_; }
    std::string insertion_point() const override { return points_.back(); }
    std::int64_t classes() const override { return classes_; }

  private:
    struct Layer : NormalisedConvolution {
        using NormalisedConvolution::NormalisedConvolution;
        bool pools = false;  // after it
    };
    void fold() override;
    void unfold() override;
    // Layers first to last - 1.
    Tensor through(std::size_t first, std::size_t last, Tensor x) const;

    std::int64_t classes_;
    Group features_;
    std::vector<std::unique_ptr<Layer>> layers_;
    std::vector<std::string> points_;  // of each layer but the first
    // The model has one of these heads.
    //
    std::unique_ptr<VggClassifier> classifier_;
    std::unique_ptr<engine::nn::Linear> linear_;
};

}  // namespace cnpd::models
