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

TEST_CASE("a row of the page that the model does not know is refused, and a missing one as well") {
    const std::string head = "| folder | operation | x |\n|---|---|---|\n";
    CHECK_THROWS_AS(with_predictions(head + "| [pgd](../kernels/pgd) | other | |\n"), cnpd::Error);
    CHECK_THROWS_AS(with_predictions(head), cnpd::Error);
}
