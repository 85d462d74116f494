#include "bench/model/model.h"

#include <doctest/doctest.h>

using namespace cnpd::bench;

namespace {
const Gpu& h100() {
    return modelled_gpus()[0];
}
const Gpu& h200() {
    return modelled_gpus()[1];
}
}  // namespace

TEST_CASE("model: the largest quotient is the limit, and launches are added") {
    // 3 GB take 1 ms on an H100; 30 GFLOP take 0.5 ms.
    const Work work{.bytes = 3e9, .fp32 = 30e9, .launches = 2};
    const Prediction on_h100 = predict(h100(), work);
    CHECK(on_h100.limit == "memory");
    CHECK(on_h100.seconds == doctest::Approx(1.002e-3));
    const Prediction on_h200 = predict(h200(), work);
    CHECK(on_h200.limit == "memory");
    CHECK(on_h200.seconds == doctest::Approx(3e9 / 4.3e12 + 2e-6));
}

TEST_CASE("model: every kind of work can be the limit") {
    for (const auto& [work, limit] : {
             std::pair{Work{.bytes = 1e9}, "memory"},
             std::pair{Work{.bytes = 1e9, .l2_bytes = 2e9}, "L2"},
             std::pair{Work{.bytes = 1e9, .l1_bytes = 1e11}, "L1 and shared memory"},
             std::pair{Work{.bytes = 1e9, .fp32 = 1e11}, "float32"},
             std::pair{Work{.bytes = 1e9, .fp64 = 1e11}, "float64"},
             std::pair{Work{.bytes = 1e9, .tf32_tensor = 1e12}, "TF32 tensor cores"},
             std::pair{Work{.bytes = 1e9, .bf16_tensor = 1e12}, "bfloat16 tensor cores"},
             std::pair{Work{.bytes = 1e9, .instructions = 1e10}, "instructions"},
             std::pair{Work{.bytes = 1e5}, "launch"},
         }) {
        CAPTURE(limit);
        CHECK(predict(h100(), work).limit == limit);
    }
}

TEST_CASE("model: the multiprocessor with the most blocks is the last") {
    // 60 GFLOP take 1 ms on all 132 multiprocessors.
    const auto milliseconds = [](double blocks) {
        return (predict(h100(), {.fp32 = 60e9, .blocks = blocks}).seconds - 1e-6) * 1e3;
    };
    CHECK(milliseconds(0) == doctest::Approx(1));
    CHECK(milliseconds(16) == doctest::Approx(132.0 / 16));
    CHECK(milliseconds(132) == doctest::Approx(1));
    CHECK(milliseconds(133) == doctest::Approx(2 * 132.0 / 133));
    CHECK(milliseconds(264) == doctest::Approx(1));
    // The memory is shared.
    CHECK(predict(h100(), {.bytes = 3e9, .blocks = 16}).seconds == doctest::Approx(1.001e-3));
}

TEST_CASE(
    "model: the polarizer in bfloat16 is limited by memory on an H100, arithmetic on an H200") {
    const double elements = 4096.0 * 16 * 512;
    const Work work{.bytes = 4 * elements, .bf16_tensor = 2 * elements * 512};
    CHECK(predict(h100(), work).limit == "memory");
    CHECK(predict(h200(), work).limit == "bfloat16 tensor cores");
}

TEST_CASE("model: durations have two digits") {
    CHECK(duration(2.345e-6) == "2.3 us");
    CHECK(duration(12.6e-6) == "13 us");
    CHECK(duration(0.123e-3) == "0.12 ms");
    CHECK(duration(12.3e-3) == "12 ms");
    CHECK(duration(3) == "3.0 s");
    CHECK(duration(0) == "0 s");
}
