// From settings to what is trained and measured: the poisoned training set, the defender's clean
// subset and the test sets.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cnpd/attacks/attack.h"
#include "cnpd/attacks/poisoning.h"
#include "cnpd/training/evaluation.h"
#include "cnpd/training/precision.h"
#include "cnpd/training/settings.h"
#include "datasets/batches.h"
#include "datasets/dataset.h"

namespace cnpd::training {

// The data of one victim. The data set's own images stay as they are; the poisoned ones are copies.
struct Experiment {
    datasets::Dataset data;
    std::unique_ptr<attacks::Attack> attack;
    attacks::PoisonedIndices poisoned;  // of the training set

    std::int64_t classes() const { return static_cast<std::int64_t>(data.class_names.size()); }
};

struct InputInfo;

// Loads or generates the data set (with a progress bar) and draws the poisoned images. Throws
// InputError and FileError.
Experiment prepare_experiment(const VictimSettings& settings);
// The same again for a run that has been trained. Throws InputError when the data set's images or
// classes are not those that it was trained on.
Experiment prepare_experiment(const VictimSettings& settings, const InputInfo& trained_on);

// What the victim is trained on.
datasets::BatchSource poisoned_training_set(const Experiment& experiment, engine::Device device);

TestSets make_test_sets(const Experiment& experiment, engine::Device device);

// The defender's clean images: the same number of each class, together about `ratio` of the
// training set (the whole class where it has fewer), from the original images. Ascending indices.
std::vector<std::int32_t> draw_clean_subset(const datasets::Images& train, std::int64_t classes,
                                            double ratio, std::uint64_t seed);
// Moves this share of every class of the subset to a second one.
struct SplitSubset {
    std::vector<std::int32_t> training, held_out;
};
SplitSubset hold_out(const std::vector<std::int32_t>& subset, const datasets::Images& train,
                     std::int64_t classes, double share);
datasets::BatchSource clean_subset(const Experiment& experiment,
                                   const std::vector<std::int32_t>& indices, engine::Device device);
// How many of these images were poisoned in the victim's training set.
std::int64_t overlap(const std::vector<std::int32_t>& subset,
                     const std::vector<std::int32_t>& poisoned);

// What a model is fed and what it answers, without the data set it was trained on. Stored with the
// run.
struct InputInfo {
    std::int64_t h = 0, w = 0, c = 0;
    std::vector<float> mean, std;  // per channel, of pixels in [0,1]
    std::vector<std::string> class_names;
};
InputInfo input_info(const datasets::Dataset& data);

// An untrained model for such images, its weights drawn from the seed.
std::unique_ptr<models::Classifier> make_victim(const VictimSettings& settings,
                                                const InputInfo& input, const Compute& compute);

// Crop and flip of the data set, or none.
TrainingDraws draws_of(const datasets::Dataset& data, bool augment, std::uint64_t seed);

}  // namespace cnpd::training
