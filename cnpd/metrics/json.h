// Scores in result.json and metrics.jsonl: percentages, rounded to four decimals.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "cnpd/metrics/metrics.h"

namespace cnpd::metrics {

// A fraction as a percentage; null for NaN.
nlohmann::ordered_json percent(double fraction);

// Adds "acc", "asr" and "r_acc".
void add_scores(nlohmann::ordered_json& record, const Scores& scores);

// Adds "detection_roc": an object of two equally long lists, "false_positive_rate" and
// "true_positive_rate". Adds nothing for an empty curve.
void add_roc(nlohmann::ordered_json& record, const Roc& curve);

}  // namespace cnpd::metrics
