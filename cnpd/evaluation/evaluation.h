// Predictions over whole data sets.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cnpd/metrics/metrics.h"
#include "datasets/batches.h"
#include "models/classifier.h"

namespace cnpd::evaluation {

// The test images with and without the trigger.
struct TestSets {
    datasets::BatchSource clean;
    datasets::BatchSource poisoned;              // labels: backdoor labels
    std::vector<std::int32_t> original_labels;   // of the poisoned images
    std::vector<std::int32_t> poisoned_indices;  // of each in the clean test set

    metrics::PoisonedLabels poisoned_labels() const {
        return {.backdoor = poisoned.host_labels(),
                .original = original_labels,
                .clean_index = poisoned_indices};
    }
};

inline constexpr std::int64_t kEvaluationBatch = 250;

// Calls body(indices) for consecutive pieces of a set of `count` images.
void for_pieces(std::int64_t count,
                const std::function<void(const std::vector<std::int32_t>& indices)>& body);

// The predicted classes of all images; `forward` maps normalised input to logits.
std::vector<std::int32_t> predict_all(
    const datasets::BatchSource& images,
    const std::function<engine::Tensor(const engine::Tensor& input)>& forward);

// Scores of a model given by `forward`. The caller puts the model into evaluation mode.
metrics::Scores evaluate(const TestSets& sets,
                         const std::function<engine::Tensor(const engine::Tensor& input)>& forward);

// The prefix's output for a whole set, computed once, because the frozen prefix is the most
// expensive part of an evaluation. In pieces of kEvaluationBatch images.
struct CachedFeatures {
    std::vector<models::Cut> cuts;
    std::vector<engine::Tensor> victim_logits;
    std::vector<std::int32_t> victim_predictions;  // of all images
};
CachedFeatures cache_features(const models::Classifier& victim, std::string_view insertion_point,
                              const datasets::BatchSource& images);
// Bytes that cache_features() needs for `images` images.
std::int64_t cached_bytes(const models::Cut& cut, std::int64_t images);

}  // namespace cnpd::evaluation
