// The interface of all victim models, and the registry of models.
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

// A forward pass cut at an insertion point. A polarizer may change z. The residual is added by the
// network after the insertion point, and the polarizer does not change it (undefined if there is
// none).
struct Cut {
    Tensor z;         // [N,H,W,C], in the type of the model's activations
    Tensor residual;  // [N,H',W',C'] or undefined
};

// An image classifier f = suffix o prefix. An insertion point is named after the layer whose input
// it is, for example "layer4.1.conv1".
class Classifier : public engine::nn::Module {
  public:
    // input [N,H,W,C], normalised -> logits float32 [N,classes]. The input is float32 or has the
    // type of the activations; in that type it is not converted, nor is its gradient.
    Tensor forward(const Tensor& input) const {
        return suffix(prefix(input, insertion_point()), insertion_point());
    }

    virtual Cut prefix(const Tensor& input, std::string_view point) const = 0;
    virtual Tensor suffix(const Cut& cut, std::string_view point) const = 0;

    virtual std::vector<std::string> insertion_points() const = 0;
    // The default insertion point.
    virtual std::string insertion_point() const = 0;
    virtual std::int64_t classes() const = 0;
    engine::DType activations() const { return activations_; }

    // Makes the model a constant: evaluation mode, no parameter requires a gradient, and batch
    // norms are folded into convolutions where that does not change the function. Call it after the
    // weights are final.
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

  protected:
    explicit Classifier(engine::DType activations) : activations_(activations) {}

  private:
    // Folds batch norms into convolutions where that does not change the function in evaluation
    // mode; and undoes it.
    virtual void fold() = 0;
    virtual void unfold() = 0;

    engine::DType activations_;
};

struct ModelOptions {
    std::string name = "preact-resnet18";
    std::int64_t width = 64;  // channels of the first stage
    std::string head{};       // one of the model's heads; empty: its default
    std::int64_t classes = 10;
    std::int64_t channels = 3;  // of the image
    // Type of the activations: float32, or on a GPU bfloat16. Weights, statistics and logits are
    // always float32.
    engine::DType activations = engine::DType::float32;
};

struct ModelInfo {
    std::string_view name, description;
    // Possible heads after the last convolution, the default first; empty if there is no choice.
    std::span<const std::string_view> heads{};
};
// The known models, for --help.
const std::vector<ModelInfo>& registry();

// The head of a model: `head`, or the default if that is empty; empty if there is no choice. Throws
// InputError for an unknown model and for a head that the model does not have.
std::string head_of(std::string_view model, std::string_view head);

// A model with newly initialised weights. Throws InputError for an unknown name or invalid sizes.
std::unique_ptr<Classifier> make_model(const ModelOptions& options, engine::Generator& generator,
                                       engine::Device device);

}  // namespace cnpd::models
