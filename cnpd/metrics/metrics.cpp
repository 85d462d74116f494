#include "cnpd/metrics/metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/common/error.h"

namespace cnpd::metrics {
namespace {

double share_equal(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
    CNPD_CHECK(a.size() == b.size(), "one prediction for each label");
    if (a.empty()) return std::numeric_limits<double>::quiet_NaN();
    std::size_t equal = 0;
    for (std::size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i];
    return static_cast<double>(equal) / static_cast<double>(a.size());
}

bool have_curve(std::span<const float> positives, std::span<const float> negatives) {
    const auto measured = [](std::span<const float> scores) {
        return !scores.empty() && std::none_of(scores.begin(), scores.end(),
                                               [](float score) { return std::isnan(score); });
    };
    return measured(positives) && measured(negatives);
}

double share_untriggered(std::span<const std::int32_t> clean_predictions,
                         const PoisonedLabels& labels) {
    std::vector<std::int32_t> predictions;
    for (const std::int32_t index : labels.clean_index) {
        CNPD_CHECK(static_cast<std::size_t>(index) < clean_predictions.size(),
                   "poisoned images are copies of clean ones");
        predictions.push_back(clean_predictions[static_cast<std::size_t>(index)]);
    }
    return share_equal(predictions, labels.backdoor);
}

}  // namespace

Scores score(std::span<const std::int32_t> clean_predictions,
             std::span<const std::int32_t> clean_labels,
             std::span<const std::int32_t> poisoned_predictions, const PoisonedLabels& labels) {
    return {.acc = share_equal(clean_predictions, clean_labels),
            .asr = share_equal(poisoned_predictions, labels.backdoor),
            .r_acc = share_equal(poisoned_predictions, labels.original),
            .asr_untriggered = share_untriggered(clean_predictions, labels),
            .n_clean = static_cast<std::int64_t>(clean_labels.size()),
            .n_poisoned = static_cast<std::int64_t>(labels.backdoor.size())};
}

Scores score(const Counts& c) {
    const auto share = [](std::int64_t part, std::int64_t whole) {
        return whole ? static_cast<double>(part) / static_cast<double>(whole)
                     : std::numeric_limits<double>::quiet_NaN();
    };
    return {.acc = share(c.correct, c.clean),
            .asr = share(c.backdoor, c.poisoned),
            .r_acc = share(c.original, c.poisoned),
            .asr_untriggered = share(c.untriggered, c.poisoned),
            .n_clean = c.clean,
            .n_poisoned = c.poisoned};
}

double defense_effectiveness(const Scores& before, const Scores& after) {
    // With this order of arguments std::max propagates a NaN.
    return (std::max(before.asr - after.asr, 0.0) - std::max(before.acc - after.acc, 0.0) + 1) / 2;
}

std::vector<float> drops_of_probability(std::span<const float> victim,
                                        std::span<const float> purified,
                                        std::span<const std::int32_t> predicted) {
    const std::size_t classes = victim.size() / std::max<std::size_t>(predicted.size(), 1);
    std::vector<float> drops;
    for (std::size_t i = 0; i < predicted.size(); ++i) {
        const std::size_t at = i * classes + static_cast<std::size_t>(predicted[i]);
        drops.push_back(victim[at] - purified[at]);
    }
    return drops;
}

double auroc(std::span<const float> positives, std::span<const float> negatives) {
    if (!have_curve(positives, negatives)) return std::numeric_limits<double>::quiet_NaN();
    std::vector<float> sorted(negatives.begin(), negatives.end());
    std::sort(sorted.begin(), sorted.end());
    double below = 0;  // pairs; a tie counts half
    for (const float score : positives) {
        const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), score);
        below += static_cast<double>((first - sorted.begin()) + (last - sorted.begin())) / 2;
    }
    return below / (static_cast<double>(positives.size()) * static_cast<double>(sorted.size()));
}

Roc roc(std::span<const float> positives, std::span<const float> negatives) {
    Roc curve;
    if (!have_curve(positives, negatives)) return curve;
    const auto falling = [](std::span<const float> scores) {
        std::vector<float> sorted(scores.begin(), scores.end());
        std::sort(sorted.begin(), sorted.end(), std::greater<>());
        return sorted;
    };
    const std::vector<float> high = falling(positives), low = falling(negatives);
    const auto add = [&](std::size_t true_positives, std::size_t false_positives) {
        curve.true_positive_rate.push_back(static_cast<double>(true_positives) /
                                           static_cast<double>(high.size()));
        curve.false_positive_rate.push_back(static_cast<double>(false_positives) /
                                            static_cast<double>(low.size()));
        return curve.true_positive_rate.back() + curve.false_positive_rate.back();
    };
    // Both rates are monotonic, so their sum, from 0 to 2, measures the position along the curve.
    constexpr int kSteps = 100;
    double kept = add(0, 0);
    for (std::size_t i = 0, j = 0; i < high.size() || j < low.size();) {
        const float threshold = j == low.size()                        ? high[i]
                                : i == high.size() || low[j] > high[i] ? low[j]
                                                                       : high[i];
        while (i < high.size() && high[i] == threshold) ++i;
        while (j < low.size() && low[j] == threshold) ++j;
        const double sum = static_cast<double>(i) / static_cast<double>(high.size()) +
                           static_cast<double>(j) / static_cast<double>(low.size());
        const bool last = i == high.size() && j == low.size();
        if (last || std::floor(sum * kSteps / 2) > std::floor(kept * kSteps / 2)) kept = add(i, j);
    }
    return curve;
}

Detection detect(const Judged& clean, const Judged& poisoned,
                 std::span<const std::int32_t> backdoor_labels) {
    CNPD_CHECK(poisoned.victim.size() == backdoor_labels.size(), "one prediction for each label");
    Detection detection;
    detection.false_positive_rate = 1 - share_equal(clean.victim, clean.purified);
    detection.true_positive_rate = 1 - share_equal(poisoned.victim, poisoned.purified);
    std::size_t successful = 0, flagged = 0;
    std::vector<float> drops_of_successful;
    for (std::size_t i = 0; i < backdoor_labels.size(); ++i) {
        if (poisoned.victim[i] != backdoor_labels[i]) continue;
        ++successful;
        if (!poisoned.drops.empty()) drops_of_successful.push_back(poisoned.drops[i]);
        flagged += poisoned.purified[i] != poisoned.victim[i];
    }
    detection.true_positive_rate_successful =
        successful ? static_cast<double>(flagged) / static_cast<double>(successful)
                   : std::numeric_limits<double>::quiet_NaN();
    detection.auroc = auroc(poisoned.drops, clean.drops);
    detection.auroc_successful = auroc(drops_of_successful, clean.drops);
    detection.roc = roc(poisoned.drops, clean.drops);
    return detection;
}

}  // namespace cnpd::metrics
