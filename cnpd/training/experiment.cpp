#include "cnpd/training/experiment.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include <fmt/format.h>

#include "cnpd/training/log.h"
#include "cnpd/training/progress.h"
#include "engine/files.h"
#include "engine/random.h"
#include "kernels/common/error.h"

namespace cnpd::training {

using datasets::BatchSource;
using datasets::Images;

namespace {

// Streams of Philox, beside those of batches and targets.
constexpr std::uint64_t kSubsetStream = std::uint64_t{3} << 32;
constexpr std::uint64_t kWeightStream = std::uint64_t{4} << 32;

datasets::Dataset load_with_progress(const VictimSettings& settings) {
    std::unique_ptr<Progress> progress;
    std::int64_t shown = 0;
    return datasets::load(settings.data.name,
                          {.data = settings.data.directory,
                           .seed = settings.seed,
                           .train_limit = settings.data.train_limit,
                           .test_limit = settings.data.test_limit,
                           .image_size = settings.data.image_size,
                           .progress = [&](std::int64_t done, std::int64_t total) {
                               if (!progress)
                                   progress = std::make_unique<Progress>("load images", total);
                               progress->advance(done - std::exchange(shown, done));
                           }});
}

Images select(const Images& from, const std::vector<std::int32_t>& indices) {
    Images chosen{.n = static_cast<std::int64_t>(indices.size()),
                  .h = from.h,
                  .w = from.w,
                  .c = from.c,
                  .pixels = {},
                  .labels = {}};
    const std::int64_t bytes = from.h * from.w * from.c;
    chosen.pixels.reserve(chosen.n * bytes);
    for (const std::int32_t index : indices) {
        const auto first = from.pixels.begin() + index * bytes;
        chosen.pixels.insert(chosen.pixels.end(), first, first + bytes);
        chosen.labels.push_back(from.labels[index]);
    }
    return chosen;
}

}  // namespace

Experiment prepare_experiment(const VictimSettings& settings) {
    Experiment experiment{.data = load_with_progress(settings), .attack = {}, .poisoned = {}};
    const Images& train = experiment.data.train;
    experiment.attack =
        attacks::make_attack(settings.attack, settings.attack_options,
                             {.h = train.h,
                              .w = train.w,
                              .c = train.c,
                              .classes = static_cast<std::int32_t>(experiment.classes())});
    experiment.poisoned = attacks::choose_poisoned(
        *experiment.attack, train.labels, settings.attack_options.poison_ratio, settings.seed);
    if (!experiment.poisoned.notice.empty()) log_warning(experiment.poisoned.notice);
    return experiment;
}

Experiment prepare_experiment(const VictimSettings& settings, const InputInfo& trained_on) {
    Experiment experiment = prepare_experiment(settings);
    const InputInfo found = input_info(experiment.data);
    const auto described = [](const InputInfo& input) {
        return fmt::format("{} classes of {} x {} x {} pixels", input.class_names.size(), input.w,
                           input.h, input.c);
    };
    if (described(found) != described(trained_on))
        throw InputError(
            fmt::format("the data set has {}, the run was trained on {}; give its own with --data",
                        described(found), described(trained_on)));
    for (std::size_t y = 0; y < found.class_names.size(); ++y)
        if (found.class_names[y] != trained_on.class_names[y])
            throw InputError(fmt::format("class {} of the data set is {}, the run's is {}", y,
                                         engine::in_quotes(found.class_names[y]),
                                         engine::in_quotes(trained_on.class_names[y])));
    return experiment;
}

BatchSource poisoned_training_set(const Experiment& experiment, engine::Device device) {
    Images images = experiment.data.train;
    attacks::poison_training_set(*experiment.attack, experiment.poisoned.indices, images);
    return {images, experiment.data.mean, experiment.data.std, device};
}

TestSets make_test_sets(const Experiment& experiment, engine::Device device) {
    const datasets::Dataset& data = experiment.data;
    attacks::PoisonedTest poisoned = attacks::make_poisoned_test(*experiment.attack, data.test);
    return {.clean = BatchSource(data.test, data.mean, data.std, device),
            .poisoned = BatchSource(poisoned.images, data.mean, data.std, device),
            .original_labels = std::move(poisoned.original_labels),
            .poisoned_indices = std::move(poisoned.source)};
}

std::vector<std::int32_t> draw_clean_subset(const Images& train, std::int64_t classes, double ratio,
                                            std::uint64_t seed) {
    const auto wanted = static_cast<std::int64_t>(
        std::floor(ratio * static_cast<double>(train.n) / static_cast<double>(classes) + 1e-9));
    if (wanted < 1)
        throw InputError(fmt::format(
            "clean-ratio {} of {} images leaves none of each class; give more", ratio, train.n));
    std::vector<std::int64_t> drawn(classes);
    std::vector<std::int32_t> subset;
    for (const std::int32_t index : engine::Generator(seed, kSubsetStream).permutation(train.n))
        if (drawn[train.labels[index]]++ < wanted) subset.push_back(index);
    std::sort(subset.begin(), subset.end());
    return subset;
}

SplitSubset hold_out(const std::vector<std::int32_t>& subset, const Images& train,
                     std::int64_t classes, double share) {
    std::vector<std::int64_t> size(classes), moved(classes);
    for (const std::int32_t index : subset) ++size[train.labels[index]];
    SplitSubset split;
    for (const std::int32_t index : subset) {
        const std::int32_t y = train.labels[index];
        const auto wanted = static_cast<std::int64_t>(share * static_cast<double>(size[y]));
        (moved[y]++ < wanted ? split.held_out : split.training).push_back(index);
    }
    return split;
}

BatchSource clean_subset(const Experiment& experiment, const std::vector<std::int32_t>& indices,
                         engine::Device device) {
    return {select(experiment.data.train, indices), experiment.data.mean, experiment.data.std,
            device};
}

std::int64_t overlap(const std::vector<std::int32_t>& subset,
                     const std::vector<std::int32_t>& poisoned) {
    std::vector<std::int32_t> both;
    std::set_intersection(subset.begin(), subset.end(), poisoned.begin(), poisoned.end(),
                          std::back_inserter(both));
    return static_cast<std::int64_t>(both.size());
}

InputInfo input_info(const datasets::Dataset& data) {
    return {.h = data.train.h,
            .w = data.train.w,
            .c = data.train.c,
            .mean = data.mean,
            .std = data.std,
            .class_names = data.class_names};
}

std::unique_ptr<models::Classifier> make_victim(const VictimSettings& settings,
                                                const InputInfo& input, const Compute& compute) {
    engine::Generator generator(settings.seed, kWeightStream);
    return models::make_model({.name = settings.model,
                               .width = settings.width,
                               .head = settings.head,
                               .classes = static_cast<std::int64_t>(input.class_names.size()),
                               .channels = input.c,
                               .activations = compute.activations()},
                              generator, compute.device);
}

TrainingDraws draws_of(const datasets::Dataset& data, bool augment, std::uint64_t seed) {
    return {.crop_padding = augment ? data.crop_padding : 0,
            .flip = augment && data.flip,
            .seed = seed};
}

}  // namespace cnpd::training
