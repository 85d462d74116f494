// How a model is measured, in the field's terms.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace cnpd::metrics {

// Fractions in [0,1]; NaN where there was nothing to measure (an attack of `none`, say).
struct Scores {
    double acc = std::numeric_limits<double>::quiet_NaN();  // accuracy on the clean test set
    double asr = std::numeric_limits<double>::quiet_NaN();  // poisoned predicted as backdoor label
    double r_acc =
        std::numeric_limits<double>::quiet_NaN();  // poisoned predicted as original label
    // The same images without the trigger predicted as backdoor label: the part of ASR that is
    // no more than the model's ordinary mistakes.
    double asr_untriggered = std::numeric_limits<double>::quiet_NaN();
    std::int64_t n_clean = 0, n_poisoned = 0;
};

// The poisoned test set's labels, in its order, and which clean test image each one was.
struct PoisonedLabels {
    std::span<const std::int32_t> backdoor, original, clean_index;
};

Scores score(std::span<const std::int32_t> clean_predictions,
             std::span<const std::int32_t> clean_labels,
             std::span<const std::int32_t> poisoned_predictions, const PoisonedLabels& labels);

// The same from counts: `correct` and `untriggered` of the clean images, `backdoor` and `original`
// of the poisoned ones.
struct Counts {
    std::int64_t clean = 0, correct = 0, untriggered = 0;
    std::int64_t poisoned = 0, backdoor = 0, original = 0;
};
Scores score(const Counts& counts);

// Defense effectiveness rating: [max(0, ASR_before - ASR) - max(0, ACC_before - ACC) + 1] / 2; NaN
// where one of the four was not measured.
double defense_effectiveness(const Scores& before, const Scores& after);

// Detection by disagreement: an image is flagged where the purified model predicts another class
// than the victim.
struct Detection {
    double true_positive_rate = 0;  // over all poisoned images
    double true_positive_rate_successful =
        0;                           // over those that the victim gives their backdoor label
    double false_positive_rate = 0;  // over the clean images
    // The score is a drop of probability: areas under its ROC, poisoned images against clean ones,
    // over the same two sets.
    double auroc = 0, auroc_successful = 0;
};
struct Judged {
    std::span<const std::int32_t> victim, purified;
    std::span<const float> drops{};  // of the probability of what the victim predicts
};
// By how much the purified model believes less in what the victim predicts: the score of each
// sample. Probabilities are [N,classes], N as many as there are predictions.
std::vector<float> drops_of_probability(std::span<const float> victim,
                                        std::span<const float> purified,
                                        std::span<const std::int32_t> predicted);
Detection detect(const Judged& clean, const Judged& poisoned,
                 std::span<const std::int32_t> backdoor_labels);

// The probability that a positive's score is above a negative's, ties counting half; NaN without
// either.
double auroc(std::span<const float> positives, std::span<const float> negatives);

}  // namespace cnpd::metrics
