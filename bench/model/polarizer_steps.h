// The polarizer's part of what users call: which kernels run, how often, and the time that the
// model predicts. tests/cnpd/versions_in_use_test.cpp compares the launches with those that the
// emulator records; docs/kernels-polarizer.md has the table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bench/model/model.h"

namespace cnpd::bench {

// r-CNPD at 512 channels of 4x4 positions, a batch of 128 images of 32x32, 10 classes.
enum class Activity {
    prediction,       // of a purified model
    ensemble,         // of three classes' polarizers
    warmup,           // a training step on clean images
    defense,          // a bi-level step with three PGD steps through both models
    defense_of_batch  // the same with the batch's statistics in the outer step
};
enum class Arithmetic { fp32, tf32, bf16, bf16_hopper };

// The calls of one operation.
struct Part {
    std::string launch;  // the name of its launches
    int calls = 0;
    Work work{};  // of one call; work.launches with this name
};
struct PolarizerStep {
    Activity activity;
    Arithmetic arithmetic;
    std::vector<Part> parts;

    Work sum() const;  // of all calls
    // Each call takes as long as its own limit.
    double seconds(const Gpu& gpu) const;
};
std::vector<PolarizerStep> polarizer_steps();

// The text of docs/kernels-polarizer.md with the table of steps replaced. Throws Error if the page
// has none.
std::string with_steps(std::string_view page);

}  // namespace cnpd::bench
