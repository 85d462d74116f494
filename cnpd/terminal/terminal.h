// What the program's output goes to.
#pragma once

#include <string_view>

namespace cnpd {

struct Terminal {
    // Someone is looking: lines may be rewritten and set in bold.
    bool interactive = false;
    // Box drawing and block characters are understood.
    bool utf8 = false;
    int columns = 80;
};

// Of STDOUT_FILENO or STDERR_FILENO, from the environment and the system.
Terminal describe_terminal(int descriptor);

// Whether the locale that these variables describe is a UTF-8 one; they may be null. The first that
// is not empty counts, as in POSIX.
bool is_utf8_locale(const char* lc_all, const char* lc_ctype, const char* lang);

// Columns that UTF-8 text takes, one for each code point.
int width_of(std::string_view text);
// The longest beginning of the text that takes at most so many columns.
std::string_view fit_to(std::string_view text, int columns);

}  // namespace cnpd
