// A victim with a polarizer in it, ready for inference.
#pragma once

#include <string>

#include "cnpd/defenses/polarizing/polarizers/polarizer.h"
#include "cnpd/evaluation/predictor.h"
#include "models/classifier.h"

namespace cnpd::polarizers {

// How the polarizer of a sample is chosen.
enum class Routing {
    prediction,  // the victim's prediction y'(x)
    ensemble,    // the maps averaged with the victim's softmax, its top k classes
};

struct PurifiedOptions {
    std::string insertion_point;
    Routing routing = Routing::prediction;
    std::int64_t top_k = 3;  // of the ensemble; renormalised
};

using evaluation::Predictions;

// Refers to the victim and the polarizer, which must outlive it. Not recorded on the tape.
class PurifiedModel : public evaluation::Predictor {
  public:
    PurifiedModel(const models::Classifier& victim, const Polarizer& polarizer,
                  PurifiedOptions options);

    // The prefix runs once, the suffix twice.
    using evaluation::Predictor::predict;
    Features features(const Tensor& input) const override;
    bool has_features() const override { return true; }
    Predictions predict(const Features& features) const override;
    // z behind the polarizer.
    Tensor polarized(const Tensor& z, const Tensor& victim_logits) const;

    const PurifiedOptions& options() const { return options_; }

  private:
    const models::Classifier& victim_;
    const Polarizer& polarizer_;
    PurifiedOptions options_;
};

}  // namespace cnpd::polarizers
