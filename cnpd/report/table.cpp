#include "cnpd/report/table.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "kernels/common/error.h"

namespace cnpd::report {

namespace {

struct Frame {
    const char* horizontal;
    const char* vertical;
    // Left, middle and right of the top, middle and bottom lines.
    const char* top[3];
    const char* rule[3];
    const char* bottom[3];
};

constexpr Frame kBoxes = {"─", "│", {"┌", "┬", "┐"}, {"├", "┼", "┤"}, {"└", "┴", "┘"}};
constexpr Frame kAscii = {"-", "|", {"+", "+", "+"}, {"+", "+", "+"}, {"+", "+", "+"}};

// True for numbers with a sign, an exponent, "%" or a spread "±", and for the mark of a missing
// value.
bool is_number(std::string_view cell) {
    if (cell.empty() || cell == "-" || cell == "nan") return true;
    const bool digit = cell.find_first_of("0123456789") != cell.npos;
    return digit && cell.find_first_not_of("0123456789+-.,:e% ±") == cell.npos;
}

std::string repeated(const char* text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
}

std::string line(const Frame& frame, const char* const (&joints)[3],
                 const std::vector<int>& widths) {
    std::string text = joints[0];
    for (std::size_t i = 0; i < widths.size(); ++i) {
        text += repeated(frame.horizontal, widths[i] + 2);
        text += joints[i + 1 < widths.size() ? 1 : 2];
    }
    return text + '\n';
}

std::string padded(std::string_view cell, int width, bool right, bool bold) {
    const std::string space(width - width_of(cell), ' ');
    const std::string shown = bold ? fmt::format("\x1b[1m{}\x1b[0m", cell) : std::string(cell);
    return right ? space + shown : shown + space;
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add_row(std::vector<std::string> cells) {
    CNPD_CHECK(cells.size() == columns_.size(),
               fmt::format("{} cells for {} columns", cells.size(), columns_.size()));
    for (std::string& cell : cells)
        std::replace_if(
            cell.begin(), cell.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    rows_.push_back(std::move(cells));
}

void Table::add_rule() {
    rows_.emplace_back();
}

std::string Table::str(const Terminal& terminal) const {
    const Frame& frame = terminal.utf8 ? kBoxes : kAscii;
    std::vector<int> widths;
    std::vector<bool> right;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        widths.push_back(width_of(columns_[i].title));
        bool numbers = !rows_.empty();
        for (const auto& row : rows_) {
            if (row.empty()) continue;
            widths[i] = std::max(widths[i], width_of(row[i]));
            numbers = numbers && is_number(row[i]);
        }
        right.push_back(columns_[i].alignment == Alignment::right ||
                        (columns_[i].alignment == Alignment::automatic && numbers));
    }

    const auto row_text = [&](const auto& cell_of, bool bold) {
        std::string text;
        for (std::size_t i = 0; i < columns_.size(); ++i)
            text += fmt::format("{} {} ", frame.vertical,
                                padded(cell_of(i), widths[i], right[i], bold));
        return fmt::format("{}{}\n", text, frame.vertical);
    };
    std::string text = line(frame, frame.top, widths);
    text += row_text([&](std::size_t i) -> const std::string& { return columns_[i].title; },
                     terminal.interactive);
    text += line(frame, frame.rule, widths);
    for (const auto& row : rows_)
        text += row.empty()
                    ? line(frame, frame.rule, widths)
                    : row_text([&](std::size_t i) -> const std::string& { return row[i]; }, false);
    return text + line(frame, frame.bottom, widths);
}

void Table::print() const {
    const std::string text = str(describe_terminal(STDOUT_FILENO));
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

std::string percent(double fraction) {
    return std::isnan(fraction) ? "-" : fmt::format("{:.2f}", 100 * fraction);
}

}  // namespace cnpd::report
