// Names that come with a data set and end up in messages, reports and JSON.
#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>

#include "engine/utf8.h"

namespace cnpd::datasets {

// Whether a file or folder is hidden (its name begins with a dot) or one that operating systems and
// file managers leave: __MACOSX, Thumbs.db, desktop.ini and the like. Notebooks' folders are
// hidden.
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

// UTF-8 without control characters.
inline bool is_printable(std::string_view name) {
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    return std::none_of(name.begin(), name.end(), is_control) && engine::is_utf8(name);
}

inline constexpr std::string_view kPrintable = "names in UTF-8, without control characters";

}  // namespace cnpd::datasets
