// Measurements of a run and their form in result.json: rates in per cent.
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

// Scores of a defended model and of its victim, and the detection of images with a trigger, if the
// model predicts both.
struct Comparison {
    metrics::Scores before, after;
    std::optional<metrics::Detection> detection;
};
Comparison measure(const TestSets& tests, const models::Classifier& victim,
                   const Predictor& defended);

nlohmann::ordered_json to_json(const metrics::Scores& scores);
nlohmann::ordered_json to_json(const Comparison& scores);

// Adds time and number of parameters of the training.
void add_costs(nlohmann::ordered_json& result, double seconds, std::int64_t parameters);

// Measures a model repeatedly during its training. Features that training does not change are
// cached, up to a size.
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
