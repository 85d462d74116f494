// The interface of models for evaluation.
#pragma once

#include "engine/tensor.h"
#include "models/classifier.h"

namespace cnpd::evaluation {

// Logits [N,classes].
struct Predictions {
    engine::Tensor victim;    // undefined if the model does not provide its victim's logits
    engine::Tensor purified;  // of the model itself
};

class Predictor {
  public:
    virtual ~Predictor() = default;

    // The output of the part of a model that does not change during a defense's training, for
    // normalised input [N,H,W,C]. An image's features may be computed once and kept between
    // measurements.
    struct Features {
        models::Cut cut;
        engine::Tensor victim_logits;
    };
    virtual Features features(const engine::Tensor& input) const {
        return {.cut = {.z = input, .residual = {}}, .victim_logits = {}};
    }
    // True if features() does part of the computation.
    virtual bool has_features() const { return false; }
    virtual Predictions predict(const Features& features) const = 0;
    Predictions predict(const engine::Tensor& input) const { return predict(features(input)); }
};

// A classifier without a defense. Keeps a reference to it.
class ClassifierPredictor : public Predictor {
  public:
    explicit ClassifierPredictor(const models::Classifier& model) : model_(model) {}
    using Predictor::predict;
    Predictions predict(const Features& features) const override {
        return {.victim = {}, .purified = model_.forward(features.cut.z)};
    }

  private:
    const models::Classifier& model_;
};

}  // namespace cnpd::evaluation
