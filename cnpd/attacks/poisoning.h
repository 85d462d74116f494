// Poisons a training set, and makes the poisoned test set that measures the attack.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cnpd/attacks/attack.h"
#include "datasets/dataset.h"

namespace cnpd::attacks {

// Stamps the images of the plan in place and sets their labels.
void poison_training_set(const Attack& attack, const Plan& plan, datasets::Images& images);

struct PoisonedTest {
    datasets::Images images;  // with trigger; labels are the backdoor labels, for ASR
    std::vector<std::int32_t> original_labels;  // for R-ACC
    std::vector<std::int32_t> source;           // index of each in the clean test set
};

// All-to-one: every test image whose label is not the target. All-to-all: every test image. Empty
// for `none`.
PoisonedTest make_poisoned_test(const Attack& attack, const datasets::Images& test);

}  // namespace cnpd::attacks
