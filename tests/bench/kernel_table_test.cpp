#include "bench/model/kernel_table.h"

#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

#include "kernels/common/error.h"

using namespace cnpd::bench;

TEST_CASE("the predicted times of docs/kernels.md are the model's") {
    // After a change of the model or of the table:
    //     cmake --build build/cpu --target predict_kernels
    //     build/cpu/bin/predict_kernels docs
    std::ifstream in(CNPD_DOCS "/kernels.md");
    const std::string page{std::istreambuf_iterator<char>(in), {}};
    REQUIRE(!page.empty());
    CHECK(with_predictions(page) == page);
}

TEST_CASE("a prediction names the precisions whose work is given") {
    // 3 GB take 1 ms on an H100, 4.3 GB on an H200; 790 GFLOP of bfloat16 take 1 ms on both.
    KernelRow row{"", "", "1 x 1", {.bytes = 3e9}};
    CHECK(predicted(row) == "1 x 1: 1.0 ms / 0.70 ms (memory)");
    row.bf16 = {.bytes = 1e9, .bf16_tensor = 790e9};
    CHECK(predicted(row) ==
          "1 x 1: 1.0 ms / 0.70 ms (memory); bfloat16 1.0 ms / 1.0 ms (bfloat16 tensor cores)");
}

TEST_CASE("a row of the page that the model does not know is refused, and a missing one as well") {
    const std::string head = "| folder | operation | x |\n|---|---|---|\n";
    CHECK_THROWS_AS(with_predictions(head + "| [pgd](../kernels/pgd) | other | |\n"), cnpd::Error);
    CHECK_THROWS_AS(with_predictions(head), cnpd::Error);
}
