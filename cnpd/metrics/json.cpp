#include "cnpd/metrics/json.h"

#include <cmath>

#include <nlohmann/json.hpp>

namespace cnpd::metrics {

nlohmann::ordered_json percent(double fraction) {
    if (!std::isfinite(fraction)) return nullptr;
    return std::round(fraction * 1e6) / 1e4;
}

void add_scores(nlohmann::ordered_json& record, const Scores& scores) {
    record["acc"] = percent(scores.acc);
    record["asr"] = percent(scores.asr);
    record["r_acc"] = percent(scores.r_acc);
}

void add_roc(nlohmann::ordered_json& record, const Roc& curve) {
    if (curve.true_positive_rate.empty()) return;
    nlohmann::ordered_json& roc = record["detection_roc"];
    for (const double rate : curve.false_positive_rate)
        roc["false_positive_rate"].push_back(percent(rate));
    for (const double rate : curve.true_positive_rate)
        roc["true_positive_rate"].push_back(percent(rate));
}

}  // namespace cnpd::metrics
