// Tables on the terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cnpd/terminal/terminal.h"

namespace cnpd::report {

enum class Alignment {
    automatic,  // right where every cell is a number, else left
    left,
    right
};

struct Column {
    std::string title;
    Alignment alignment = Alignment::automatic;
};

// Rows of text below titles, aligned and framed: by box drawing characters where the terminal takes
// them, else by ASCII.
class Table {
  public:
    explicit Table(std::vector<Column> columns);
    // As many cells as there are columns. Control characters are shown as "?".
    void add_row(std::vector<std::string> cells);
    // A line between the rows before and the rows after.
    void add_rule();
    // Lines, each with its end. Titles are bold on an interactive terminal.
    std::string str(const Terminal& terminal) const;
    // To stdout.
    void print() const;

  private:
    std::vector<Column> columns_;
    // A rule is a row without cells.
    std::vector<std::vector<std::string>> rows_;
};

// 0.91234 -> "91.23"; "-" for NaN.
std::string percent(double fraction);

}  // namespace cnpd::report
