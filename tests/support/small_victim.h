// A victim with little work and the shapes that every version of the polarizer supports.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/nn/layers.h"
#include "engine/ops.h"
#include "models/classifier.h"

namespace cnpd::tests {

// A 1x1 convolution to some channels and a linear layer on their means. The insertion point
// lies between them.
class SmallVictim : public models::Classifier {
  public:
    static constexpr std::int64_t kClasses = 3;

    SmallVictim(std::int64_t channels, engine::DType activations, engine::Device device)
        : SmallVictim(channels, activations, engine::Generator(5), device) {}

    models::Cut prefix(const engine::Tensor& input, std::string_view) const override {
        return {convolution_(engine::ops::cast(input, activations())), {}};
    }
    engine::Tensor suffix(const models::Cut& cut, std::string_view) const override {
        return linear_(engine::ops::global_average_pool(cut.z));
    }
    std::vector<std::string> insertion_points() const override { return {insertion_point()}; }
    std::string insertion_point() const override { return "linear"; }
    std::int64_t classes() const override { return kClasses; }

  private:
    SmallVictim(std::int64_t channels, engine::DType activations, engine::Generator generator,
                engine::Device device)
        : Classifier(activations),
          convolution_({.in = 3, .out = channels, .kernel = 1, .padding = 0}, generator, device),
          linear_(channels, kClasses, generator, device) {
        register_module("convolution", convolution_);
        register_module("linear", linear_);
    }
    void fold() override {}
    void unfold() override {}

    engine::nn::Convolution convolution_;
    engine::nn::Linear linear_;
};

}  // namespace cnpd::tests
