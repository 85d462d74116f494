// What a run has reached, as its result.json says it: rates in per cent.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/evaluation/evaluation.h"
#include "cnpd/evaluation/predictor.h"
#include "cnpd/metrics/metrics.h"

namespace cnpd::evaluation {

// Puts the model into evaluation mode.
metrics::Scores measure(const TestSets& tests, models::Classifier& model);

// A defended model's scores, those of its victim, and how well the two together tell which images
// carry a trigger (of a model that predicts both).
struct Comparison {
    metrics::Scores before, after;
    std::optional<metrics::Detection> detection;
};
Comparison measure(const TestSets& tests, const models::Classifier& victim,
                   const Predictor& defended);

nlohmann::ordered_json to_json(const metrics::Scores& scores);
nlohmann::ordered_json to_json(const Comparison& scores);

// Adds what the training took.
void add_costs(nlohmann::ordered_json& result, double seconds, std::int64_t parameters);

// Measures a model again and again while it is trained. The features that training leaves alone are
// kept, up to a size.
class Observer {
  public:
    explicit Observer(const TestSets& tests) : tests_(tests) {}
    metrics::Scores measure(const Predictor& model);

  private:
    using Cached = std::vector<Predictor::Features>;  // of consecutive pieces of a set

    bool fits(const Predictor& model) const;
    Cached features(const Predictor& model, const datasets::BatchSource& images) const;

    const TestSets& tests_;
    std::optional<std::array<Cached, 2>> cached_;  // clean, poisoned
};

}  // namespace cnpd::evaluation
