// The data of one victim: its poisoned training set, the defender's clean subset and the test sets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/attacks/attack.h"
#include "cnpd/data/input_info.h"
#include "cnpd/evaluation/evaluation.h"
#include "cnpd/settings/fields.h"
#include "datasets/batches.h"
#include "datasets/dataset.h"

namespace cnpd::data {

// Which images, and where they are.
struct DataSettings {
    std::string name = "synthetic";
    std::string directory;                         // --data
    std::int64_t train_limit = 0, test_limit = 0;  // 0: all
    std::int64_t image_size = 0;                   // 0: the set's own
    bool exif = false;                             // turn JPEGs upright

    void fields(settings::Fields& f);
};

// The data set's own images stay as they are; the poisoned ones are copies.
struct PoisonedData {
    datasets::Dataset data;
    std::shared_ptr<attacks::Attack> attack;
    attacks::Plan poisoned;  // of the training set
    std::string
        fingerprint{};  // of the images, labels and class names, before anything is poisoned

    std::int64_t classes() const { return static_cast<std::int64_t>(data.class_names.size()); }
};

// Loads or generates the data set (with a progress bar), prepares the attack for it and draws the
// poisoned images. `kept` gives files of a run that has been trained. Throws InputError and
// FileError.
PoisonedData prepare(const DataSettings& settings, std::shared_ptr<attacks::Attack> attack,
                     std::uint64_t seed, const attacks::ReadKept& kept = {});
// Throws InputError when the data set's images or classes are not those that a run was trained on.
void check_same(const InputInfo& found, const InputInfo& trained_on);

// The images that the victim is trained on.
datasets::BatchSource poisoned_training_set(const PoisonedData& data, engine::Device device);
evaluation::TestSets make_test_sets(const PoisonedData& data, engine::Device device);

// The defender's clean images: the same number of each class, together about `ratio` of the
// training set (the whole class where it has fewer), from the original images. Ascending indices.
struct CleanSubset {
    std::vector<std::int32_t> indices;
    // One line for the user where classes had fewer images than wanted, or where whole images of
    // each class are over a tenth less than the share.
    std::string notice{};
};
CleanSubset draw_clean_subset(const datasets::Images& train, std::int64_t classes, double ratio,
                              std::uint64_t seed);
// Moves this share of every class of the subset to a second one.
struct SplitSubset {
    std::vector<std::int32_t> training, held_out;
};
SplitSubset hold_out(const std::vector<std::int32_t>& subset, const datasets::Images& train,
                     std::int64_t classes, double share);
datasets::BatchSource clean_images(const PoisonedData& data,
                                   const std::vector<std::int32_t>& indices, engine::Device device);

// What indices.json holds: under each name a list of positions in the training set that the run
// had. "original" has the same lists with the positions that these images have in the whole set,
// before --train-limit, counted from 0 in the order of datasets/; and for data sets of files,
// "files" has their paths in the data.
using Positions = std::pair<std::string, std::vector<std::int32_t>>;
nlohmann::ordered_json describe_images(const datasets::Dataset& data,
                                       const std::vector<Positions>& lists);
// How many of these images were poisoned in the victim's training set.
std::int64_t overlap(const std::vector<std::int32_t>& subset,
                     const std::vector<std::int32_t>& poisoned);

}  // namespace cnpd::data
