// What every victim model offers, and the registry of models.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/nn/module.h"
#include "engine/random.h"

namespace cnpd::models {

using engine::Tensor;

// A forward pass cut at an insertion point: z is what a polarizer may change, the residual is what
// the network adds back behind it and the polarizer does not see (undefined where there is none).
struct Cut {
    Tensor z;         // [N,H,W,C], of the model's activations' type
    Tensor residual;  // [N,H',W',C'] or undefined
};

// An image classifier f = suffix o prefix. Insertion points are named by the layer whose input they
// are, "layer4.1.conv1".
class Classifier : public engine::nn::Module {
  public:
    // input float32 [N,H,W,C], normalised -> logits float32 [N,classes]
    Tensor forward(const Tensor& input) const {
        return suffix(prefix(input, insertion_point()), insertion_point());
    }

    virtual Cut prefix(const Tensor& input, std::string_view point) const = 0;
    virtual Tensor suffix(const Cut& cut, std::string_view point) const = 0;

    virtual std::vector<std::string> insertion_points() const = 0;
    // Where polarizers go unless told otherwise.
    virtual std::string insertion_point() const = 0;
    virtual std::int64_t classes() const = 0;

    // Makes the model a constant: evaluation mode, no parameter requires a gradient, and batch
    // norms are folded into convolutions where that changes nothing. Call it after the weights are
    // final.
    virtual void freeze() = 0;
    // The opposite: trainable again, nothing folded.
    virtual void unfreeze() = 0;
};

struct ModelOptions {
    std::string name = "preact-resnet18";
    std::int64_t width = 64;  // channels of the first stage
    std::int64_t classes = 10;
    std::int64_t channels = 3;  // of the image
    // What it computes in: float32, or on a GPU bfloat16. Weights, statistics and logits are
    // float32 in any case.
    engine::DType activations = engine::DType::float32;
};

struct ModelInfo {
    std::string_view name, description;
};
// The known models, for --help.
const std::vector<ModelInfo>& registry();

// A model with fresh weights. Throws InputError for an unknown name or impossible sizes.
std::unique_ptr<Classifier> make_model(const ModelOptions& options, engine::Generator& generator,
                                       engine::Device device);

}  // namespace cnpd::models
