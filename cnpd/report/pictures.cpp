#include "cnpd/report/pictures.h"

#include <algorithm>

#include "cnpd/attacks/poisoning.h"
#include "cnpd/defenses/polarizing/polarizers/purified_model.h"
#include "cnpd/runs/explain.h"
#include "engine/autograd.h"
#include "engine/ops.h"

namespace cnpd::report {

using engine::Tensor;
using evaluation::TestSets;
using runs::LoadedRun;

namespace {

// Predicted classes of a set. Without a defense, "after" is empty.
struct Predicted {
    std::vector<std::int32_t> before, after;
};

Predicted predict(const LoadedRun& run, const datasets::BatchSource& images) {
    Predicted all;
    if (images.size() == 0) return all;
    const auto last = evaluation::predict_all(images, [&](const Tensor& input) {
        const evaluation::Predictions p = run.predictor().predict(input);
        if (!run.defended) return p.purified;
        const Tensor victim = p.victim.defined() ? p.victim : run.victim->forward(input);
        const auto piece = engine::ops::argmax(victim).to_host<std::int32_t>();
        all.before.insert(all.before.end(), piece.begin(), piece.end());
        return p.purified;
    });
    (run.defended ? all.after : all.before) = last;
    return all;
}

const polarizers::PurifiedModel* purified(const LoadedRun& run) {
    return run.defended ? run.defended->purified() : nullptr;
}

std::vector<std::int64_t> confusion(const std::vector<std::int32_t>& truth,
                                    const std::vector<std::int32_t>& predicted,
                                    std::size_t classes) {
    if (predicted.empty()) return {};
    std::vector<std::int64_t> counts(classes * classes);
    for (std::size_t i = 0; i < predicted.size(); ++i)
        ++counts[static_cast<std::size_t>(truth[i]) * classes +
                 static_cast<std::size_t>(predicted[i])];
    return counts;
}

Image image_of(const datasets::Images& images, std::int64_t index) {
    const std::int64_t bytes = images.h * images.w * images.c;
    const auto first = images.pixels.begin() + index * bytes;
    return {.height = static_cast<int>(images.h),
            .width = static_cast<int>(images.w),
            .channels = static_cast<int>(images.c),
            .pixels = {first, first + bytes}};
}

std::vector<Guess> guesses_of(const std::vector<runs::Guess>& guesses) {
    std::vector<Guess> all;
    for (const runs::Guess& guess : guesses) all.push_back({guess.class_name, guess.probability});
    return all;
}

// Chooses images to show: first `interesting` ones, one of each class, then others in order.
template <class Predicate>
std::vector<std::int32_t> choose(const std::vector<std::int32_t>& labels, std::int64_t wanted,
                                 const Predicate& interesting) {
    std::vector<std::int32_t> chosen, classes;
    const auto count = static_cast<std::int32_t>(labels.size());
    const auto enough = [&] { return std::ssize(chosen) >= wanted; };
    for (std::int32_t i = 0; i < count && !enough(); ++i) {
        if (!interesting(i) || std::count(classes.begin(), classes.end(), labels[i])) continue;
        classes.push_back(labels[i]);
        chosen.push_back(i);
    }
    for (std::int32_t i = 0; i < count && !enough(); ++i)
        if (!std::count(chosen.begin(), chosen.end(), i)) chosen.push_back(i);
    return chosen;
}

// The images chosen from one test set, and their content.
struct Shown {
    const datasets::BatchSource& images;
    const std::vector<std::int32_t>& originals;  // for all images of the set
    std::vector<std::int32_t> chosen;
};

std::vector<Example> examples_of(const LoadedRun& run, const Shown& shown) {
    std::vector<Example> examples;
    if (shown.chosen.empty()) return examples;
    const auto& names = run.input.class_names;
    const auto said = runs::explain(run, shown.images.input(shown.chosen), 3);
    for (std::size_t i = 0; i < shown.chosen.size(); ++i) {
        const std::int32_t original = shown.originals[shown.chosen[i]];
        Example example{.original_class = names[original],
                        .before = guesses_of(said[i].victim),
                        .after = guesses_of(said[i].purified),
                        .defended_right = said[i].purified_class == original,
                        .flagged = said[i].flagged};
        examples.push_back(std::move(example));
    }
    return examples;
}

FeatureMap feature_map(const Tensor& z) {
    return {.height = static_cast<int>(z.shape()[1]),
            .width = static_cast<int>(z.shape()[2]),
            .channels = static_cast<int>(z.shape()[3]),
            .values = engine::ops::cast(z, engine::DType::float32).to_host<float>()};
}

PolarizedFeatures polarized_features(const LoadedRun& run, const Tensor& input, Image image) {
    const engine::NoGrad no_grad;
    const std::string& point = purified(run)->options().insertion_point;
    const models::Cut cut = run.victim->prefix(input, point);
    const Tensor logits = run.victim->suffix(cut, point);
    const std::int32_t predicted = engine::ops::argmax(logits).to_host<std::int32_t>().front();
    return {.image = std::move(image),
            .polarizer_class = run.input.class_names[predicted],
            .before = feature_map(cut.z),
            .after = feature_map(purified(run)->polarized(cut.z, logits))};
}

struct Pictured {
    const data::PoisonedData& experiment;
    const TestSets& tests;
    Predicted clean, poisoned;
};

void add_poisoned_examples(ReportData& data, const LoadedRun& run, const Pictured& from,
                           std::int64_t wanted) {
    const TestSets& tests = from.tests;
    const auto& labels = tests.poisoned.host_labels();
    const auto& said = from.poisoned.before;
    const datasets::Images& clean = from.experiment.data.test;
    const datasets::Images poisoned =
        attacks::make_poisoned_test(*from.experiment.attack, clean).images;
    const Shown shown{tests.poisoned, tests.original_labels,
                      choose(tests.original_labels, wanted,
                             [&](std::int32_t i) { return said[i] == labels[i]; })};
    data.examples = examples_of(run, shown);
    for (std::size_t i = 0; i < data.examples.size(); ++i) {
        const std::int32_t index = shown.chosen[i];
        data.examples[i].clean = image_of(clean, tests.poisoned_indices[index]);
        data.examples[i].poisoned = image_of(poisoned, index);
        data.examples[i].backdoor_class = run.input.class_names[labels[index]];
    }
    if (!purified(run) || shown.chosen.empty()) return;
    const std::int32_t first[] = {shown.chosen.front()};
    const std::int32_t twin[] = {tests.poisoned_indices[first[0]]};
    InsertionPoint& point = data.features.emplace();
    point.name = purified(run)->options().insertion_point;
    point.poisoned =
        polarized_features(run, tests.poisoned.input(first), image_of(poisoned, first[0]));
    point.clean = polarized_features(run, tests.clean.input(twin), image_of(clean, twin[0]));
}

// For a benign victim: false alarms first, or misclassified images.
void add_clean_examples(ReportData& data, const LoadedRun& run, const Pictured& from,
                        std::int64_t wanted) {
    const auto& labels = from.tests.clean.host_labels();
    const auto& [before, after] = from.clean;
    const bool both = before.size() == after.size();
    const Shown shown{from.tests.clean, labels, choose(labels, wanted, [&](std::int32_t i) {
                          return both ? before[i] != after[i] : from.clean.before[i] != labels[i];
                      })};
    data.examples = examples_of(run, shown);
    for (std::size_t i = 0; i < data.examples.size(); ++i)
        data.examples[i].clean = image_of(from.experiment.data.test, shown.chosen[i]);
    if (!purified(run) || shown.chosen.empty()) return;
    const std::int32_t first[] = {shown.chosen.front()};
    InsertionPoint& point = data.features.emplace();
    point.name = purified(run)->options().insertion_point;
    point.clean = polarized_features(run, from.tests.clean.input(first),
                                     image_of(from.experiment.data.test, first[0]));
}

// Older runs do not record the rate of backdoor labels without the trigger.
void complete(ResultRow& row, const std::vector<std::int32_t>& clean,
              const std::vector<std::int32_t>& poisoned, const TestSets& tests) {
    if (clean.empty() || poisoned.empty() || is_measured(row.asr_untriggered)) return;
    const metrics::Scores scores =
        metrics::score(clean, tests.clean.host_labels(), poisoned, tests.poisoned_labels());
    row.asr_untriggered = scores.asr_untriggered;
}

Poisoning poisoning_of(const data::PoisonedData& experiment) {
    const auto& labels = experiment.data.train.labels;
    const attacks::Attack& attack = *experiment.attack;
    Poisoning poisoning{.images = static_cast<std::int64_t>(labels.size()),
                        .poisoned = static_cast<std::int64_t>(experiment.poisoned.indices.size()),
                        .candidates = static_cast<std::int64_t>(labels.size()),
                        .clean_label = experiment.attack->clean_label(),
                        .all_to_one = attack.mode() == attacks::LabelMode::all_to_one,
                        .target = attack.target()};
    if (poisoning.clean_label)
        poisoning.candidates = std::count(labels.begin(), labels.end(), attack.target());
    return poisoning;
}

}  // namespace

Poisoning add_pictures(ReportData& data, const LoadedRun& run, const CollectOptions& options,
                       engine::Device device) {
    const data::PoisonedData experiment = run.poisoned_data(options.data_override);
    const TestSets tests = data::make_test_sets(experiment, device);
    const Poisoning poisoning = poisoning_of(experiment);
    data.benign = !experiment.attack->plants_backdoor() || poisoning.poisoned == 0;
    data.classes = run.input.class_names;
    if (!data.benign && poisoning.all_to_one)
        data.target = static_cast<std::size_t>(poisoning.target);

    Pictured from{experiment, tests, predict(run, tests.clean), {}};
    if (!data.benign) from.poisoned = predict(run, tests.poisoned);
    const std::size_t classes = data.classes.size();
    const auto& truth = tests.clean.host_labels();
    data.clean_predictions = {.before = confusion(truth, from.clean.before, classes),
                              .after = confusion(truth, from.clean.after, classes)};
    data.poisoned_predictions = {
        .before = confusion(tests.original_labels, from.poisoned.before, classes),
        .after = confusion(tests.original_labels, from.poisoned.after, classes)};
    for (ResultRow& row : data.results)
        if (row.highlight)
            complete(row, from.clean.after, from.poisoned.after, tests);
        else if (&row == &data.results.front())
            complete(row, from.clean.before, from.poisoned.before, tests);
    if (data.benign)
        add_clean_examples(data, run, from, options.examples);
    else
        add_poisoned_examples(data, run, from, options.examples);
    return poisoning;
}

}  // namespace cnpd::report
