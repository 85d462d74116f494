#include "cnpd/training/evaluation.h"

#include <algorithm>
#include <numeric>

#include "engine/autograd.h"
#include "engine/ops.h"

namespace cnpd::training {

using engine::Tensor;

namespace {

// Calls body(indices) for consecutive pieces of the set.
template <class Body>
void for_pieces(std::int64_t count, const Body& body) {
    std::vector<std::int32_t> indices;
    for (std::int64_t first = 0; first < count; first += kEvaluationBatch) {
        indices.resize(std::min(kEvaluationBatch, count - first));
        std::iota(indices.begin(), indices.end(), static_cast<std::int32_t>(first));
        body(indices);
    }
}

void append_predictions(const Tensor& logits, std::vector<std::int32_t>& into) {
    const auto piece = engine::ops::argmax(logits).to_host<std::int32_t>();
    into.insert(into.end(), piece.begin(), piece.end());
}

}  // namespace

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
    return metrics::score(predict_all(sets.clean, forward), sets.clean.host_labels(),
                          predict_all(sets.poisoned, forward), sets.poisoned_labels());
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

}  // namespace cnpd::training
