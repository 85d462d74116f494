#include "cnpd/report/table.h"

#include <limits>

#include <doctest/doctest.h>

#include "kernels/common/error.h"

using namespace cnpd;
using namespace cnpd::report;

namespace {
Table scores() {
    Table table({{"model"}, {"ACC %"}, {"seconds", Alignment::left}});
    table.add_row({"victim", percent(0.91234), "1.5"});
    table.add_rule();
    table.add_row({"café", percent(1), "-"});
    return table;
}
}  // namespace

TEST_CASE("a table has a frame, and numbers are right-aligned") {
    CHECK(scores().str({.interactive = false, .utf8 = true}) ==
          "┌────────┬────────┬─────────┐\n"
          "│ model  │  ACC % │ seconds │\n"
          "├────────┼────────┼─────────┤\n"
          "│ victim │  91.23 │ 1.5     │\n"
          "├────────┼────────┼─────────┤\n"
          "│ café   │ 100.00 │ -       │\n"
          "└────────┴────────┴─────────┘\n");
}

TEST_CASE("without UTF-8 the frame is ASCII, and on a terminal titles are bold") {
    Table table({{"a"}, {"b"}, {"c"}});
    table.add_row({"1", "x", "-2.5e-3 ± 4"});
    CHECK(table.str({.interactive = true, .utf8 = false}) ==
          "+---+---+-------------+\n"
          "| \x1b[1ma\x1b[0m | \x1b[1mb\x1b[0m |           \x1b[1mc\x1b[0m |\n"
          "+---+---+-------------+\n"
          "| 1 | x | -2.5e-3 ± 4 |\n"
          "+---+---+-------------+\n");
}

TEST_CASE("a table without rows shows its titles") {
    CHECK(Table({{"a"}, {"bc"}, {""}}).str({}) ==
          "+---+----+--+\n| a | bc |  |\n+---+----+--+\n+---+----+--+\n");
}

TEST_CASE("control characters do not reach the terminal") {
    Table table({{"a"}, {"b"}, {"c"}});
    table.add_row({"\x1b[31m", "x\ny", ""});
    const std::string text = table.str({});
    CHECK(text.find("| ?[31m | x?y |") != std::string::npos);
    CHECK_THROWS_AS(table.add_row({"1"}), Error);
}

TEST_CASE("percentages have two decimals") {
    CHECK(percent(0) == "0.00");
    CHECK(percent(0.123456) == "12.35");
    CHECK(percent(std::numeric_limits<double>::quiet_NaN()) == "-");
}
