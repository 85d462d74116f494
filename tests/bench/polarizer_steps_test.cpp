#include "bench/model/polarizer_steps.h"

#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

#include "kernels/common/error.h"

using namespace cnpd::bench;

TEST_CASE("the table of steps of docs/kernels-polarizer.md is the model's") {
    // After a change of the model or of the table of machine code:
    //     cmake --build build/cpu --target predict_kernels
    //     build/cpu/bin/predict_kernels docs
    std::ifstream in(CNPD_DOCS "/kernels-polarizer.md");
    const std::string page{std::istreambuf_iterator<char>(in), {}};
    REQUIRE(!page.empty());
    CHECK(with_steps(page) == page);
}

TEST_CASE("steps: a page without the table is refused") {
    CHECK_THROWS_AS(with_steps("text"), cnpd::Error);
}

TEST_CASE("steps: the time of a step is at least that of its products") {
    // A defense step: 8 forward and backward products and 2 gradients of the maps, each of 1.07
    // GFLOP, and 20 launches of 1 us.
    for (const PolarizerStep& step : polarizer_steps()) {
        if (step.activity != Activity::defense || step.arithmetic != Arithmetic::fp32) continue;
        const Work sum = step.sum();
        CHECK(sum.fp32 > 10 * 2.0 * 128 * 16 * 512 * 512);
        CHECK(step.seconds(modelled_gpus()[0]) > sum.fp32 / 60e12 + sum.launches * 1e-6);
    }
}
