// A parser for the part of TOML that settings need. toml++ 3.3, Debian's version, fails its own
// assertions on malformed text, which is undefined behaviour in its release builds.
#include <charconv>
#include <cstdint>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "cnpd/settings/config_formats.h"
#include "engine/files.h"
#include "engine/utf8.h"
#include "kernels/common/error.h"

namespace cnpd {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_bare(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

// Moves digits, which may be separated by single underscores, from the front of `word` to the end
// of `number`. False if there are none.
bool take_digits(std::string_view& word, std::string& number) {
    bool digit = false;
    while (!word.empty()) {
        if (word[0] == '_' && !(digit && word.size() > 1 && is_digit(word[1]))) return false;
        if (word[0] != '_' && !is_digit(word[0])) break;
        digit = word[0] != '_';
        if (digit) number += word[0];
        word.remove_prefix(1);
    }
    return digit;
}

// The number as written on the command line; empty if the word is not a number or too large.
std::string number_in(std::string_view word) {
    std::string number;
    if (word.starts_with('-')) number = "-";
    if (word.starts_with('-') || word.starts_with('+')) word.remove_prefix(1);
    const std::size_t sign = number.size();
    if (!take_digits(word, number)) return {};
    if (number.size() > sign + 1 && number[sign] == '0') return {};
    const bool integer = word.empty();
    if (word.starts_with('.')) {
        number += '.';
        word.remove_prefix(1);
        if (!take_digits(word, number)) return {};
    }
    if (word.starts_with('e') || word.starts_with('E')) {
        number += 'e';
        word.remove_prefix(1);
        if (word.starts_with('-') || word.starts_with('+')) {
            number += word[0];
            word.remove_prefix(1);
        }
        if (!take_digits(word, number)) return {};
    }
    if (!word.empty()) return {};
    std::int64_t whole = 0;
    double real = 0;
    const char* end = number.data() + number.size();
    const auto result = integer ? std::from_chars(number.data(), end, whole)
                                : std::from_chars(number.data(), end, real);
    return result.ec == std::errc() ? number : std::string();
}

class TomlReader {
  public:
    TomlReader(std::string_view text, std::string_view path) : text_(text), path_(path) {}

    std::vector<ConfigEntry> run() {
        for (skip_lines(); !at_end(); skip_lines()) {
            if (peek() == '[')
                read_table_header();
            else
                read_setting();
            skip_spaces();
            if (!at_end() && !at_line_end() && peek() != '#') fail_here("the end of the line");
        }
        return std::move(entries_);
    }

  private:
    bool at_end() const { return at_ == text_.size(); }
    char peek() const { return at_end() ? '\0' : text_[at_]; }
    bool at_line_end() const { return peek() == '\n' || text_.substr(at_).starts_with("\r\n"); }

    [[noreturn]] void fail(std::string_view found, std::string_view expected) const {
        throw FileError(path_, fmt::format("line {}: {}", line_, found), expected);
    }
    [[noreturn]] void fail_here(std::string_view expected) const {
        fail(at_end()        ? "the end of the file"
             : at_line_end() ? "the end of the line"
                             : engine::in_quotes(text_.substr(at_, 1)),
             expected);
    }

    void expect(char c) {
        if (peek() != c) fail_here(engine::in_quotes(std::string_view(&c, 1)));
        ++at_;
    }

    void skip_spaces() {
        while (peek() == ' ' || peek() == '\t') ++at_;
    }

    // Skips spaces, comments and line ends.
    void skip_lines() {
        while (true) {
            skip_spaces();
            if (peek() == '#')
                while (!at_end() && !at_line_end()) ++at_;
            if (at_end() || !at_line_end()) return;
            at_ = text_.find('\n', at_) + 1;
            ++line_;
        }
    }

    void read_table_header() {
        expect('[');
        if (peek() == '[') fail("a list of tables", "settings and tables of settings");
        table_ = read_key_part();
        skip_spaces();
        expect(']');
        if (table_.empty()) fail("a table without a name", "a subcommand's");
        if (!tables_.insert(table_).second)
            fail(fmt::format("table {} again", engine::in_quotes(table_)), "each table once");
    }

    void read_setting() {
        ConfigEntry entry{read_key_part(), {}, table_, line_};
        skip_spaces();
        if (peek() == '.') {
            if (!table_.empty()) fail("a table in a table", "settings");
            ++at_;
            entry.table = std::exchange(entry.key, read_key_part());
            if (entry.table.empty()) fail("a table without a name", "a subcommand's");
            skip_spaces();
        }
        expect('=');
        skip_spaces();
        if (peek() == '[')
            read_array(entry.values);
        else
            entry.values.push_back(read_scalar());
        entries_.push_back(std::move(entry));
    }

    void read_array(std::vector<std::string>& values) {
        expect('[');
        for (skip_lines(); peek() != ']'; skip_lines()) {
            values.push_back(read_scalar());
            skip_lines();
            if (peek() == ']') break;
            expect(',');
        }
        expect(']');
    }

    std::string read_key_part() {
        skip_spaces();
        if (peek() == '"' || peek() == '\'') return read_string();
        const std::size_t begin = at_;
        while (is_bare(peek())) ++at_;
        if (at_ == begin) fail_here("a setting's name");
        return std::string(text_.substr(begin, at_ - begin));
    }

    std::string read_scalar() {
        constexpr std::string_view kExpected = "a string in quotes, a number, true or false";
        if (peek() == '"' || peek() == '\'') return read_string();
        const std::size_t begin = at_;
        while (is_bare(peek()) || peek() == '+' || peek() == '.' || peek() == ':') ++at_;
        const std::string_view word = text_.substr(begin, at_ - begin);
        if (word.empty()) fail_here(kExpected);
        if (word == "true" || word == "false") return std::string(word);
        std::string number = number_in(word);
        if (number.empty()) fail(engine::in_quotes(word), kExpected);
        return number;
    }

    std::string read_string() {
        const char quote = peek();
        if (text_.substr(at_).starts_with(std::string(3, quote)))
            fail("a multi-line string", "a string on one line");
        std::string value;
        for (++at_; peek() != quote;) {
            if (at_end() || at_line_end()) fail_here("a closing quote");
            const char c = text_[at_++];
            if (c == '\\' && quote == '"')
                read_escape(value);
            else
                value += c;
        }
        ++at_;
        return value;
    }

    void read_escape(std::string& value) {
        constexpr std::string_view kNames = "btnfr\"\\", kMeanings = "\b\t\n\f\r\"\\";
        const char name = peek();
        if (const std::size_t i = kNames.find(name); name && i != kNames.npos) {
            value += kMeanings[i];
            ++at_;
            return;
        }
        if (name != 'u' && name != 'U') fail_here("b, t, n, f, r, u, U, \" or \\ after \\");
        const std::string_view digits = text_.substr(at_ + 1, name == 'u' ? 4 : 8);
        std::uint32_t code = 0;
        const char* end = digits.data() + digits.size();
        const auto [stop, error] = std::from_chars(digits.data(), end, code, 16);
        if (error != std::errc() || stop != end || digits.size() != (name == 'u' ? 4u : 8u) ||
            !engine::append_utf8(code, value))
            fail("an escape of another kind", "the code point of a character after \\u or \\U");
        at_ += 1 + digits.size();
    }

    std::string_view text_;
    std::string_view path_;
    std::size_t at_ = 0;
    int line_ = 1;
    std::string table_;
    std::set<std::string> tables_;
    std::vector<ConfigEntry> entries_;
};

}  // namespace

std::vector<ConfigEntry> toml_entries(std::string_view text, std::string_view path) {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    int line = 1;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        line += byte == '\n';
        const bool allowed =
            byte == '\t' || byte == '\n' || (byte == '\r' && text.substr(i + 1).starts_with('\n'));
        if ((byte < 0x20 && !allowed) || byte == 0x7f)
            throw FileError(path, fmt::format("line {}: a control character", line), "text");
    }
    return TomlReader(text, path).run();
}

}  // namespace cnpd
