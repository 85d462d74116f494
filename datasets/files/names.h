// Names that come with a data set and end up in messages, reports and JSON.
#pragma once

#include <algorithm>
#include <string_view>

#include "engine/utf8.h"

namespace cnpd::datasets {

// UTF-8 without control characters.
inline bool is_printable(std::string_view name) {
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    return std::none_of(name.begin(), name.end(), is_control) && engine::is_utf8(name);
}

inline constexpr std::string_view kPrintable = "names in UTF-8, without control characters";

}  // namespace cnpd::datasets
