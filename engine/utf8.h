// UTF-8 in settings and in names of files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cnpd::engine {

// Appends a character. False if there is no character of that number.
bool append_utf8(std::uint32_t code, std::string& text);
// Whether the text is UTF-8, without overlong forms and surrogates.
bool is_utf8(std::string_view text);

}  // namespace cnpd::engine
