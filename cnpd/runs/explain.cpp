#include "cnpd/runs/explain.h"

#include <algorithm>
#include <numeric>

#include "cnpd/metrics/metrics.h"
#include "engine/autograd.h"
#include "engine/ops.h"

namespace cnpd::runs {
namespace {

std::vector<Guess> best(const float* probabilities, const std::vector<std::string>& names,
                        std::int64_t top) {
    std::vector<std::int32_t> order(names.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](auto a, auto b) { return probabilities[a] > probabilities[b]; });
    order.resize(std::min<std::size_t>(order.size(), static_cast<std::size_t>(top)));
    std::vector<Guess> guesses;
    for (const std::int32_t y : order) guesses.push_back({names[y], probabilities[y]});
    return guesses;
}

}  // namespace

std::vector<Explanation> explain(const LoadedRun& run, const engine::Tensor& input,
                                 std::int64_t top) {
    if (input.shape()[0] == 0) return {};
    const engine::NoGrad no_grad;
    evaluation::Predictions logits;
    if (run.defended) logits = run.defended->predict(input);
    if (!logits.victim.defined()) logits.victim = run.victim->forward(input);
    const auto& names = run.input.class_names;
    const auto victim = engine::ops::softmax(logits.victim).to_host<float>();
    const auto victim_classes = engine::ops::argmax(logits.victim).to_host<std::int32_t>();
    std::vector<Explanation> all(victim_classes.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i].victim = best(&victim[i * names.size()], names, top);
        all[i].victim_class = all[i].purified_class = victim_classes[i];
    }
    if (!run.defended) return all;
    const auto purified = engine::ops::softmax(logits.purified).to_host<float>();
    const auto purified_classes = engine::ops::argmax(logits.purified).to_host<std::int32_t>();
    const auto drops = metrics::drops_of_probability(victim, purified, victim_classes);
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i].purified = best(&purified[i * names.size()], names, top);
        all[i].purified_class = purified_classes[i];
        all[i].flagged = purified_classes[i] != victim_classes[i];
        all[i].score = drops[i];
    }
    return all;
}

}  // namespace cnpd::runs
