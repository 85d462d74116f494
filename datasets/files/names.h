// Names of a data set's files, which are shown in messages, reports and JSON.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <set>
#include <string>
#include <string_view>

#include "engine/utf8.h"

namespace cnpd::datasets {

// Whether a file or folder is hidden (its name begins with a dot, as .ipynb_checkpoints) or left by
// operating systems and file managers: __MACOSX, Thumbs.db, desktop.ini and similar names.
inline bool is_clutter(std::string_view name) {
    constexpr std::string_view kNames[] = {
        "__macosx",    "thumbs.db",    "ehthumbs.db",
        "desktop.ini", "$recycle.bin", "system volume information",
        "lost+found",  "@eadir",       "icon\r"};
    if (name == "." || name == "..") return false;
    const auto is_same = [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b;
    };
    return name.starts_with('.') ||
           std::any_of(std::begin(kNames), std::end(kNames), [&](std::string_view known) {
               return std::equal(name.begin(), name.end(), known.begin(), known.end(), is_same);
           });
}

// Clutter that has been skipped.
class Skipped {
  public:
    void add(std::string_view name);
    void add(const Skipped& others);
    std::int64_t count() const { return count_; }
    // `skipped 12 files, hidden or left by operating systems (.DS_Store, ._*, Thumbs.db, ...)`
    std::string describe() const;

  private:
    void keep(std::string_view name);

    std::int64_t count_ = 0;
    std::set<std::string> names_ = {};  // the names to show, and one more if there are more
};

// UTF-8 without control characters.
inline bool is_printable(std::string_view name) {
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    return std::none_of(name.begin(), name.end(), is_control) && engine::is_utf8(name);
}

inline constexpr std::string_view kPrintable = "names in UTF-8, without control characters";

}  // namespace cnpd::datasets
