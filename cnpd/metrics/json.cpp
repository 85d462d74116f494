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

}  // namespace cnpd::metrics
