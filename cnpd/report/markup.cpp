#include "cnpd/report/markup.h"

#include <algorithm>
#include <cmath>

namespace cnpd::report {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view dash = "\xE2\x80\x93";
constexpr std::string_view ellipsis = "\xE2\x80\xA6";
constexpr std::string_view no_break_space = "\xC2\xA0";

// Length of the UTF-8 sequence at the start of `text`; 0 if it is invalid.
std::size_t sequence_length(std::string_view text, std::uint32_t& code) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(0);
    const std::size_t length = lead < 0x80           ? 1
                               : (lead >> 5) == 0x06 ? 2
                               : (lead >> 4) == 0x0E ? 3
                               : (lead >> 3) == 0x1E ? 4
                                                     : 0;
    if (length == 0 || length > text.size()) return 0;
    code = length == 1 ? lead : lead & (0x7Fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
        code = (code << 6) | (byte(i) & 0x3F);
    }
    constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code < smallest[length] || code > 0x10FFFF || surrogate ? 0 : length;
}

bool is_shown(std::uint32_t code) {
    if (code < 0x20) return code == '\t' || code == '\n';
    const bool control = code >= 0x7F && code < 0xA0;
    const bool direction = code == 0x061C || code == 0x200E || code == 0x200F ||
                           (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
    const bool noncharacter = (code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF);
    return !control && !direction && !noncharacter;
}

}  // namespace

std::string escape(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        std::uint32_t code = 0;
        const std::size_t length = sequence_length(text, code);
        if (length == 0 || !is_shown(code)) {
            out += replacement;
        } else if (code == '&') {
            out += "&amp;";
        } else if (code == '<') {
            out += "&lt;";
        } else if (code == '>') {
            out += "&gt;";
        } else if (code == '"') {
            out += "&quot;";
        } else if (code == '\'') {
            out += "&#39;";
        } else {
            out += text.substr(0, length);
        }
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return out;
}

std::string shortened(std::string_view text, int most) {
    std::size_t end = 0;
    for (int characters = 0; end < text.size(); ++characters) {
        if (characters == most) return std::string(text.substr(0, end)) + std::string(ellipsis);
        std::uint32_t code = 0;
        end += std::max<std::size_t>(sequence_length(text.substr(end), code), 1);
    }
    return std::string(text);
}

bool is_drawable(double value) {
    return std::isfinite(value) && std::abs(value) < 1e100;
}

double clamped_rate(double rate) {
    return is_drawable(rate) ? std::clamp(rate, 0.0, 1.0) : 0.0;
}

std::string percent(double rate, int digits) {
    if (!is_drawable(rate)) return std::string(dash);
    return fmt::format("{:.{}f}{}%", 100 * rate, digits, no_break_space);
}

std::string number(double value, int digits) {
    if (!is_drawable(value)) return std::string(dash);
    return fmt::format("{:.{}g}", value, digits);
}

std::string count(std::int64_t value) {
    std::string digits = std::to_string(value);
    const std::ptrdiff_t first = value < 0 ? 1 : 0;
    for (auto at = std::ssize(digits) - 3; at > first; at -= 3)
        digits.insert(static_cast<std::size_t>(at), 1, ',');
    return digits;
}

std::string duration(double seconds) {
    if (!is_drawable(seconds) || seconds < 0 || seconds > 1e12) return std::string(dash);
    if (seconds < 99.95) return fmt::format("{:.1f}{}s", seconds, no_break_space);
    const auto whole = std::llround(seconds);
    const auto hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
    if (hours > 0) return fmt::format("{0}{2}h {1}{2}min", hours, minutes, no_break_space);
    return fmt::format("{0}{2}min {1}{2}s", minutes, rest, no_break_space);
}

}  // namespace cnpd::report
