// Scores in result.json and metrics.jsonl: percentages, rounded to four decimals.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "cnpd/metrics/metrics.h"

namespace cnpd::metrics {

// A fraction as a percentage; null for NaN.
nlohmann::ordered_json percent(double fraction);

// Adds "acc", "asr" and "r_acc".
void add_scores(nlohmann::ordered_json& record, const Scores& scores);

}  // namespace cnpd::metrics
