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

// Selection and location of the images.
struct DataSettings {
    std::string name = "synthetic";
    std::string directory;                         // --data
    std::int64_t train_limit = 0, test_limit = 0;  // 0: all
    std::int64_t image_size = 0;                   // 0: the data set's own
    bool exif = false;                             // apply the EXIF orientation of JPEGs

    void fields(settings::Fields& f);
};

// The images in `data` stay clean; poisoned images are copies.
struct PoisonedData {
    datasets::Dataset data;
    std::shared_ptr<attacks::Attack> attack;
    attacks::Plan poisoned;     // of the training set
    std::string fingerprint{};  // of the clean images, labels and class names

    std::int64_t classes() const { return static_cast<std::int64_t>(data.class_names.size()); }
};

// Loads or generates the data set (with a progress bar), prepares the attack for it and draws the
// poisoned images. `kept` reads files of an existing run. Throws InputError and FileError.
PoisonedData prepare(const DataSettings& settings, std::shared_ptr<attacks::Attack> attack,
                     std::uint64_t seed, const attacks::ReadKept& kept = {});
// Throws InputError unless image size and classes are those that a run was trained on.
void check_same(const InputInfo& found, const InputInfo& trained_on);

// The victim's training images.
datasets::BatchSource poisoned_training_set(const PoisonedData& data, engine::Device device);
evaluation::TestSets make_test_sets(const PoisonedData& data, engine::Device device);

// The defender's clean images, drawn from the original images: the same number from each class, or
// the whole class if it is smaller, together about `ratio` of the training set. Ascending indices.
struct CleanSubset {
    std::vector<std::int32_t> indices;
    // One line for the user if classes have too few images, or if rounding down loses more than a
    // tenth of the share.
    std::string notice{};
};
CleanSubset draw_clean_subset(const datasets::Images& train, std::int64_t classes, double ratio,
                              std::uint64_t seed);
// Moves this share of each class of the subset to a second subset.
struct SplitSubset {
    std::vector<std::int32_t> training, held_out;
};
SplitSubset hold_out(const std::vector<std::int32_t>& subset, const datasets::Images& train,
                     std::int64_t classes, double share);
datasets::BatchSource clean_images(const PoisonedData& data,
                                   const std::vector<std::int32_t>& indices, engine::Device device);

// The content of indices.json: for each name a list of positions in the run's training set.
// "original" has the same lists as positions in the whole set, before --train-limit, from 0 in the
// order of datasets/. For data sets of files, "files" has the paths within the data.
using Positions = std::pair<std::string, std::vector<std::int32_t>>;
nlohmann::ordered_json describe_images(const datasets::Dataset& data,
                                       const std::vector<Positions>& lists);
// The number of these images that are poisoned in the victim's training set.
std::int64_t overlap(const std::vector<std::int32_t>& subset,
                     const std::vector<std::int32_t>& poisoned);

}  // namespace cnpd::data
