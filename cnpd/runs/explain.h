// Predictions of a run's models for single images.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cnpd/runs/runs.h"

namespace cnpd::runs {

struct Guess {
    std::string class_name;
    double probability = 0;
};

// The most likely classes, in falling order of probability.
struct Explanation {
    std::vector<Guess> victim;
    std::vector<Guess> purified;  // empty where the run has no polarizer
    std::int32_t victim_class = 0, purified_class = 0;
    bool flagged = false;  // victim and purified model predict different classes
    // Drop in the probability of the victim's class, from the victim to the purified model.
    double score = 0;
};

// One for each image of the normalised input [N,H,W,C].
std::vector<Explanation> explain(const LoadedRun& run, const engine::Tensor& input,
                                 std::int64_t top);

}  // namespace cnpd::runs
