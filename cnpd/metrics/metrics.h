// Metrics of backdoor attacks and defenses.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace cnpd::metrics {

// Fractions in [0,1]; NaN if there is nothing to measure, as ASR with `--attack none`.
struct Scores {
    double acc = std::numeric_limits<double>::quiet_NaN();  // accuracy on the clean test set
    double asr = std::numeric_limits<double>::quiet_NaN();  // poisoned predicted as backdoor label
    double r_acc =
        std::numeric_limits<double>::quiet_NaN();  // poisoned predicted as original label
    // Share of the same images predicted as backdoor label without the trigger: the part of ASR due
    // to ordinary misclassification.
    double asr_untriggered = std::numeric_limits<double>::quiet_NaN();
    std::int64_t n_clean = 0, n_poisoned = 0;
};

// The labels of the poisoned test images, and the index of each in the clean test set.
struct PoisonedLabels {
    std::span<const std::int32_t> backdoor, original, clean_index;
};

Scores score(std::span<const std::int32_t> clean_predictions,
             std::span<const std::int32_t> clean_labels,
             std::span<const std::int32_t> poisoned_predictions, const PoisonedLabels& labels);

// The same from counts: `correct` and `untriggered` count clean images, `backdoor` and `original`
// poisoned ones.
struct Counts {
    std::int64_t clean = 0, correct = 0, untriggered = 0;
    std::int64_t poisoned = 0, backdoor = 0, original = 0;
};
Scores score(const Counts& counts);

// Defense effectiveness rating: [max(0, ASR_before - ASR) - max(0, ACC_before - ACC) + 1] / 2; NaN
// if one of the four was not measured.
double defense_effectiveness(const Scores& before, const Scores& after);

// Shares of the negatives and of the positives whose score reaches a threshold, for falling
// thresholds: both rates rise from 0 to 1. Both have the same length; empty without a curve.
struct Roc {
    std::vector<double> false_positive_rate, true_positive_rate;
};

// Detection by disagreement: an image is flagged if the victim and the purified model predict
// different classes.
struct Detection {
    double true_positive_rate = 0;  // over all poisoned images
    // Over the poisoned images that the victim predicts as their backdoor label.
    double true_positive_rate_successful = 0;
    double false_positive_rate = 0;  // over the clean images
    // Areas under the ROC curve of the score, the drop in the probability of the victim's class:
    // all poisoned images, or the successful ones, against the clean images.
    double auroc = 0, auroc_successful = 0;
    Roc roc{};  // of all poisoned images against the clean ones
};
struct Judged {
    std::span<const std::int32_t> victim, purified;
    std::span<const float> drops{};  // in the probability of the victim's class
};
// The drop in the probability of the victim's class, from the victim to the purified model, for
// each image. Probabilities are [N,classes], N the number of predictions.
std::vector<float> drops_of_probability(std::span<const float> victim,
                                        std::span<const float> purified,
                                        std::span<const std::int32_t> predicted);
Detection detect(const Judged& clean, const Judged& poisoned,
                 std::span<const std::int32_t> backdoor_labels);

// The probability that a positive's score is above a negative's; ties count half. NaN if there are
// no positives, no negatives, or a score that is NaN.
double auroc(std::span<const float> positives, std::span<const float> negatives);

// The ROC curve of "the score is at least the threshold", in at most 101 points at about equal
// distances. Empty if auroc() is NaN.
Roc roc(std::span<const float> positives, std::span<const float> negatives);

}  // namespace cnpd::metrics
