#include "models/vgg.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/ops.h"
#include "kernels/common/error.h"

namespace cnpd::models {

namespace nn = engine::nn;
namespace ops = engine::ops;

namespace {
constexpr std::int64_t kClassifierSide = 7;  // image size at the classifier's input
constexpr float kDropout = 0.5f;
constexpr std::int64_t kSmallestImage = 32;  // five poolings reduce this to one pixel
}  // namespace

VggClassifier::VggClassifier(std::int64_t width, std::int64_t classes, engine::Generator& generator,
                             engine::Device device)
    : first_({kClassifierSide, kClassifierSide, 8 * width}, 64 * width, generator, device),
      second_(64 * width, 64 * width, generator, device),
      third_(64 * width, classes, generator, device),
      first_dropout_(kDropout, generator, device),
      second_dropout_(kDropout, generator, device) {
    // The missing numbers are those of ReLUs.
    register_module("0", first_);
    register_module("2", first_dropout_);
    register_module("3", second_);
    register_module("5", second_dropout_);
    register_module("6", third_);
}

Tensor VggClassifier::operator()(const Tensor& features) const {
    Tensor x = ops::cast(features, engine::DType::float32);
    x = ops::adaptive_average_pool(x, kClassifierSide, kClassifierSide);
    x = first_dropout_(ops::relu(first_(x)));
    x = second_dropout_(ops::relu(second_(x)));
    return third_(x);
}

Vgg::Vgg(const ModelOptions& options, const std::array<int, 5>& convolutions,
         engine::Generator& generator, engine::Device device)
    : Classifier(options.activations), classes_(options.classes) {
    std::int64_t in = options.channels;
    int index = 0;  // in torchvision's sequence of convolution, batch norm, ReLU and pooling
    for (std::size_t stage = 0; stage < convolutions.size(); ++stage) {
        const std::int64_t out = options.width << std::min<std::size_t>(stage, 3);
        for (int i = 0; i < convolutions[stage]; ++i, index += 3) {
            layers_.push_back(std::make_unique<Layer>(
                nn::ConvolutionSettings{.in = in, .out = out, .bias = true}, generator, device));
            layers_.back()->pools = i + 1 == convolutions[stage];
            features_.add(std::to_string(index), layers_.back()->convolution);
            features_.add(std::to_string(index + 1), layers_.back()->norm);
            if (index > 0) points_.push_back(fmt::format("features.{}", index));
            in = out;
        }
        ++index;
    }
    register_module("features", features_);
    if (options.head == "cifar") {
        linear_ = std::make_unique<nn::Linear>(in, classes_, generator, device);
        register_module("classifier", *linear_);
    } else {
        classifier_ = std::make_unique<VggClassifier>(options.width, classes_, generator, device);
        register_module("classifier", *classifier_);
    }
}

Tensor Vgg::through(std::size_t first, std::size_t last, Tensor x) const {
    for (std::size_t i = first; i < last; ++i) {
        x = layers_[i]->with_relu(x);
        if (layers_[i]->pools) x = ops::max_pool(x, {.window = 2, .stride = 2});
    }
    return x;
}

Cut Vgg::prefix(const Tensor& input, std::string_view point) const {
    const engine::Shape& image = input.shape();
    if (image.rank() == 4 && std::min(image[1], image[2]) < kSmallestImage)
        throw InputError(
            fmt::format("a VGG needs images of at least {0} x {0} pixels, not {1} x {2}",
                        kSmallestImage, image[2], image[1]));
    return {through(0, position_of(point, points_) + 1, ops::cast(input, activations())), {}};
}

Tensor Vgg::suffix(const Cut& cut, std::string_view point) const {
    const Tensor x = through(position_of(point, points_) + 1, layers_.size(), cut.z);
    return linear_ ? (*linear_)(ops::global_average_pool(x)) : (*classifier_)(x);
}

void Vgg::fold() {
    for (const auto& layer : layers_) layer->fold();
}

void Vgg::unfold() {
    for (const auto& layer : layers_) layer->unfold();
}

}  // namespace cnpd::models
