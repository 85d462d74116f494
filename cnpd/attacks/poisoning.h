// Poisoning a training set with an attack's trigger, and the test set that measures its success.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cnpd/attacks/attack.h"
#include "datasets/dataset.h"

namespace cnpd::attacks {

struct PoisonedIndices {
    std::vector<std::int32_t> indices;  // ascending
    std::int64_t wanted = 0;            // poison ratio times the size of the training set
    // One line for the user where fewer could be poisoned than wanted, else empty.
    std::string notice;
};

// Draws the training images to be poisoned: `ratio` of all images (rounded), from every class, the
// target's own included. A clean-label attack draws the same count from the target class alone, and
// all of that class where it is smaller. The same seed draws the same images. Throws InputError for
// a ratio outside [0,1].
PoisonedIndices choose_poisoned(const Attack& attack, std::span<const std::int32_t> labels,
                                double ratio, std::uint64_t seed);

// Stamps these images in place and, unless the attack is a clean-label one, gives them the label
// that the trigger is to cause.
void poison_training_set(const Attack& attack, std::span<const std::int32_t> indices,
                         datasets::Images& images);

struct PoisonedTest {
    datasets::Images images;                    // stamped; labels are the backdoor labels, for ASR
    std::vector<std::int32_t> original_labels;  // for R-ACC
    std::vector<std::int32_t> source;           // index of each in the clean test set
};

// All-to-one: every test image whose label is not the target. All-to-all: every test image. Empty
// for `none`.
PoisonedTest make_poisoned_test(const Attack& attack, const datasets::Images& test);

}  // namespace cnpd::attacks
