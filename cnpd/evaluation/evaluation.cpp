#include "cnpd/evaluation/evaluation.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "engine/autograd.h"
#include "engine/ops.h"

namespace cnpd::evaluation {

using engine::Tensor;

namespace {

void append_predictions(const Tensor& logits, std::vector<std::int32_t>& into) {
    const auto piece = engine::ops::argmax(logits).to_host<std::int32_t>();
    into.insert(into.end(), piece.begin(), piece.end());
}

// Two columns of labels, one for each image; -1 stands for none.
using Expected = std::array<std::vector<std::int32_t>, 2>;

// Counts the images whose prediction equals each column's label. Logits and counts stay on the
// device until the last image.
std::array<std::int64_t, 2> count_predictions(const datasets::BatchSource& images,
                                              const Expected& expected,
                                              const std::function<Tensor(const Tensor&)>& forward) {
    const engine::NoGrad no_grad;
    Tensor counts = Tensor::zeros({2}, engine::DType::int64, images.device());
    for_pieces(images.size(), [&](const auto& indices) {
        std::vector<std::int32_t> labels;
        for (const auto& column : expected)
            labels.insert(labels.end(), column.begin() + indices.front(),
                          column.begin() + indices.front() + indices.size());
        const auto count = static_cast<std::int64_t>(indices.size());
        engine::ops::count_matches(forward(images.input(indices)),
                                   Tensor::from(labels, {2, count}, images.device()), counts);
    });
    const std::vector<std::int64_t> host = counts.to_host<std::int64_t>();
    return {host[0], host[1]};
}

// For each clean image, the backdoor label of its poisoned copy.
std::vector<std::int32_t> backdoor_labels_of_clean(const TestSets& sets) {
    std::vector<std::int32_t> labels(static_cast<std::size_t>(sets.clean.size()), -1);
    const auto& backdoor = sets.poisoned.host_labels();
    for (std::size_t i = 0; i < sets.poisoned_indices.size(); ++i)
        labels.at(static_cast<std::size_t>(sets.poisoned_indices[i])) = backdoor[i];
    return labels;
}

}  // namespace

void for_pieces(std::int64_t count,
                const std::function<void(const std::vector<std::int32_t>& indices)>& body) {
    std::vector<std::int32_t> indices;
    for (std::int64_t first = 0; first < count; first += kEvaluationBatch) {
        indices.resize(std::min(kEvaluationBatch, count - first));
        std::iota(indices.begin(), indices.end(), static_cast<std::int32_t>(first));
        body(indices);
    }
}

std::vector<std::int32_t> predict_all(const datasets::BatchSource& images,
                                      const std::function<Tensor(const Tensor&)>& forward) {
    const engine::NoGrad no_grad;
    std::vector<std::int32_t> predictions;
    for_pieces(images.size(), [&](const auto& indices) {
        append_predictions(forward(images.input(indices)), predictions);
    });
    return predictions;
}

metrics::Scores evaluate(const TestSets& sets,
                         const std::function<Tensor(const Tensor&)>& forward) {
    const auto [correct, untriggered] = count_predictions(
        sets.clean, {sets.clean.host_labels(), backdoor_labels_of_clean(sets)}, forward);
    const auto [backdoor, original] = count_predictions(
        sets.poisoned, {sets.poisoned.host_labels(), sets.original_labels}, forward);
    return metrics::score({.clean = sets.clean.size(),
                           .correct = correct,
                           .untriggered = untriggered,
                           .poisoned = sets.poisoned.size(),
                           .backdoor = backdoor,
                           .original = original});
}

CachedFeatures cache_features(const models::Classifier& victim, std::string_view insertion_point,
                              const datasets::BatchSource& images) {
    const engine::NoGrad no_grad;
    CachedFeatures cached;
    for_pieces(images.size(), [&](const auto& indices) {
        cached.cuts.push_back(victim.prefix(images.input(indices), insertion_point));
        cached.victim_logits.push_back(victim.suffix(cached.cuts.back(), insertion_point));
        append_predictions(cached.victim_logits.back(), cached.victim_predictions);
    });
    return cached;
}

std::int64_t cached_bytes(const models::Cut& cut, std::int64_t images) {
    std::size_t bytes = cut.z.bytes();
    if (cut.residual.defined()) bytes += cut.residual.bytes();
    return static_cast<std::int64_t>(bytes) / std::max<std::int64_t>(cut.z.shape()[0], 1) * images;
}

}  // namespace cnpd::evaluation
