#include "engine/utf8.h"

namespace cnpd::engine {

namespace {
bool is_character(std::uint32_t code) {
    return code < 0x110000 && !(code >= 0xd800 && code < 0xe000);
}
}  // namespace

bool append_utf8(std::uint32_t code, std::string& text) {
    if (!is_character(code)) return false;
    if (code < 0x80) {
        text += static_cast<char>(code);
        return true;
    }
    const int following = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    constexpr std::uint32_t kFirst[] = {0, 0xc0, 0xe0, 0xf0};
    text += static_cast<char>(kFirst[following] | code >> 6 * following);
    for (int i = following - 1; i >= 0; --i)
        text += static_cast<char>(0x80 | (code >> 6 * i & 0x3f));
    return true;
}

bool is_utf8(std::string_view text) {
    constexpr std::uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
    for (std::size_t i = 0; i < text.size();) {
        const auto first = static_cast<unsigned char>(text[i++]);
        if (first < 0x80) continue;
        const int following = first >= 0xf8   ? 0
                              : first >= 0xf0 ? 3
                              : first >= 0xe0 ? 2
                              : first >= 0xc0 ? 1
                                              : 0;
        if (!following) return false;
        std::uint32_t code = first & (0x3f >> following);
        for (int j = 0; j < following; ++j) {
            const auto next = i < text.size() ? static_cast<unsigned char>(text[i++]) : 0u;
            if ((next & 0xc0) != 0x80) return false;
            code = code << 6 | (next & 0x3f);
        }
        if (code < kSmallest[following] || !is_character(code)) return false;
    }
    return true;
}

}  // namespace cnpd::engine
