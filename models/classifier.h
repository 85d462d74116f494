// What every victim model offers, and the registry of models.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
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
    void freeze() {
        eval();
        set_requires_grad(false);
        fold();
    }
    // The opposite: trainable again, nothing folded.
    void unfreeze() {
        train();
        set_requires_grad(true);
        unfold();
    }

  private:
    // Batch norms into convolutions, where that changes nothing in evaluation mode; and back.
    virtual void fold() = 0;
    virtual void unfold() = 0;
};

struct ModelOptions {
    std::string name = "preact-resnet18";
    std::int64_t width = 64;  // channels of the first stage
    std::string head{};       // one of the model's heads; empty: its usual one
    std::int64_t classes = 10;
    std::int64_t channels = 3;  // of the image
    // What it computes in: float32, or on a GPU bfloat16. Weights, statistics and logits are
    // float32 in any case.
    engine::DType activations = engine::DType::float32;
};

struct ModelInfo {
    std::string_view name, description;
    // What can be behind the last convolution, the usual one first; empty where there is no choice.
    std::span<const std::string_view> heads{};
};
// The known models, for --help.
const std::vector<ModelInfo>& registry();

// The head that a model gets: `head`, or its usual one if that is empty; empty where there is no
// choice. Throws InputError for an unknown model and for a head that it cannot have.
std::string head_of(std::string_view model, std::string_view head);

// A model with fresh weights. Throws InputError for an unknown name or impossible sizes.
std::unique_ptr<Classifier> make_model(const ModelOptions& options, engine::Generator& generator,
                                       engine::Device device);

}  // namespace cnpd::models
