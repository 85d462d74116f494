// What a run has reached, as its result.json says it: rates in per cent.
#pragma once

#include <cstdint>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/metrics/metrics.h"
#include "cnpd/polarizers/purified_model.h"
#include "cnpd/training/evaluation.h"

namespace cnpd::training {

// Puts the model into evaluation mode.
metrics::Scores measure(const TestSets& tests, models::Classifier& model);

// A purified model's scores, those of the victim in it, and how well the two together tell which
// images carry a trigger.
struct PurifiedScores {
    metrics::Scores before, after;
    metrics::Detection detection;
};
PurifiedScores measure(const TestSets& tests, const polarizers::PurifiedModel& model);

nlohmann::ordered_json to_json(const metrics::Scores& scores);
// With the comparison.
nlohmann::ordered_json to_json(const PurifiedScores& scores);

// Adds the victim's scores and the DER of the defended model against them.
void add_comparison(nlohmann::ordered_json& result, const metrics::Scores& before,
                    const metrics::Scores& after);
// Adds what the training took.
void add_costs(nlohmann::ordered_json& result, double seconds, std::int64_t parameters);

}  // namespace cnpd::training
