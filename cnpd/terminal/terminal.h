// Properties of the terminal.
#pragma once

#include <string_view>

namespace cnpd {

struct Terminal {
    // Lines may be rewritten and set in bold.
    bool interactive = false;
    // Box drawing and block characters can be displayed.
    bool utf8 = false;
    int columns = 80;
};

// Of STDOUT_FILENO or STDERR_FILENO, from the environment and the system.
Terminal describe_terminal(int descriptor);

// True if these variables describe a UTF-8 locale. As in POSIX, the first that is not null or empty
// counts.
bool is_utf8_locale(const char* lc_all, const char* lc_ctype, const char* lang);

// Width of UTF-8 text in columns, one for each code point.
int width_of(std::string_view text);
// The longest prefix of the text that fits `columns` columns.
std::string_view fit_to(std::string_view text, int columns);

}  // namespace cnpd
