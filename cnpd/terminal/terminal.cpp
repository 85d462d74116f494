#include "cnpd/terminal/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string>

namespace cnpd {

namespace {
// True for all bytes of a UTF-8 code point but the first.
bool continues(char c) {
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}
}  // namespace

Terminal describe_terminal(int descriptor) {
    Terminal terminal;
    const char* type = std::getenv("TERM");
    terminal.interactive =
        ::isatty(descriptor) && type && *type && std::string_view(type) != "dumb";
    terminal.utf8 =
        is_utf8_locale(std::getenv("LC_ALL"), std::getenv("LC_CTYPE"), std::getenv("LANG"));
    winsize size{};
    if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        terminal.columns = size.ws_col;
    return terminal;
}

bool is_utf8_locale(const char* lc_all, const char* lc_ctype, const char* lang) {
    for (const char* value : {lc_all, lc_ctype, lang}) {
        if (!value || !*value) continue;
        std::string locale(value);
        std::transform(locale.begin(), locale.end(), locale.begin(),
                       [](unsigned char c) { return std::toupper(c); });
        return locale.find("UTF-8") != locale.npos || locale.find("UTF8") != locale.npos;
    }
    return false;
}

int width_of(std::string_view text) {
    return static_cast<int>(
        std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::string_view fit_to(std::string_view text, int columns) {
    std::size_t end = 0;
    for (int used = 0; end < text.size(); ++end)
        if (!continues(text[end]) && used++ == columns) break;
    return text.substr(0, end);
}

}  // namespace cnpd
