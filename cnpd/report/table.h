// Text tables for the terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cnpd/terminal/terminal.h"

namespace cnpd::report {

enum class Alignment {
    automatic,  // right if all cells are numbers, else left
    left,
    right
};

struct Column {
    std::string title;
    Alignment alignment = Alignment::automatic;
};

// Aligned rows of text below titles, with a frame of box drawing characters if the terminal
// supports them, else of ASCII.
class Table {
  public:
    explicit Table(std::vector<Column> columns);
    // Needs one cell per column. Control characters are shown as "?".
    void add_row(std::vector<std::string> cells);
    // A line between the previous and the next row.
    void add_rule();
    // The table's text with line ends. Titles are bold on an interactive terminal.
    std::string str(const Terminal& terminal) const;
    // Prints to stdout.
    void print() const;

  private:
    std::vector<Column> columns_;
    // A rule is a row without cells.
    std::vector<std::vector<std::string>> rows_;
};

// 0.91234 -> "91.23"; "-" for NaN.
std::string percent(double fraction);

}  // namespace cnpd::report
