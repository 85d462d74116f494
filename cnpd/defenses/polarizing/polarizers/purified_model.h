// A victim with an inserted polarizer, for inference.
#pragma once

#include <string>

#include "cnpd/defenses/polarizing/polarizers/polarizer.h"
#include "cnpd/evaluation/predictor.h"
#include "models/classifier.h"

namespace cnpd::polarizers {

// Choice of the polarizer for a sample.
enum class Routing {
    prediction,  // the victim's prediction y'(x)
    ensemble,    // the maps of the victim's top k classes, averaged with its softmax
};

struct PurifiedOptions {
    std::string insertion_point;
    Routing routing = Routing::prediction;
    std::int64_t top_k = 3;  // for the ensemble; probabilities are renormalised
};

using evaluation::Predictions;

// Keeps references to the victim and the polarizer, which must outlive it. Not recorded on the
// tape.
class PurifiedModel : public evaluation::Predictor {
  public:
    PurifiedModel(const models::Classifier& victim, const Polarizer& polarizer,
                  PurifiedOptions options);

    // The prefix runs once, the suffix twice.
    using evaluation::Predictor::predict;
    Features features(const Tensor& input) const override;
    bool has_features() const override { return true; }
    Predictions predict(const Features& features) const override;
    // The polarizer's output for z.
    Tensor polarized(const Tensor& z, const Tensor& victim_logits) const;

    const PurifiedOptions& options() const { return options_; }

  private:
    const models::Classifier& victim_;
    const Polarizer& polarizer_;
    PurifiedOptions options_;
};

}  // namespace cnpd::polarizers
