#include <cmath>
#include <cstdint>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/settings/config_formats.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd {

namespace {

// Counts lines while the parser reads the text.
class LineCounter {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    LineCounter(const char* at, int* line) : at_(at), line_(line) {}
    reference operator*() const { return *at_; }
    LineCounter& operator++() {
        *line_ += *at_++ == '\n';
        return *this;
    }
    bool operator==(const LineCounter& other) const { return at_ == other.at_; }
    bool operator!=(const LineCounter& other) const { return at_ != other.at_; }

  private:
    const char* at_;
    int* line_;
};

// Reads entries from the parser's events and rejects anything nested deeper than the array of a
// setting.
class EntryReader : public nlohmann::json_sax<nlohmann::json> {
  public:
    EntryReader(std::string_view path, const int* line) : path_(path), line_(line) {}
    std::vector<ConfigEntry> take() { return std::move(entries_); }

    bool null() override { fail("null", "a string, number or boolean"); }
    bool boolean(bool value) override { return add(value ? "true" : "false"); }
    bool number_integer(std::int64_t value) override { return add(fmt::to_string(value)); }
    bool number_unsigned(std::uint64_t value) override { return add(fmt::to_string(value)); }
    bool number_float(double value, const std::string& text) override {
        if (!std::isfinite(value)) fail(engine::in_quotes(text), "a finite number");
        return add(text);
    }
    bool string(std::string& value) override { return add(value); }
    bool binary(nlohmann::json::binary_t&) override { fail("binary data", "text"); }

    bool start_object(std::size_t) override {
        if (place_ == Place::outside) {
            place_ = Place::root;
        } else if (place_ == Place::root && !in_array_) {
            place_ = Place::table;
            table_ = key_;
            if (table_.empty()) fail("a table without a name", "a subcommand's");
        } else {
            fail("a table in a table or an array", "settings");
        }
        return true;
    }
    bool key(std::string& value) override {
        key_ = value;
        key_line_ = *line_;
        return true;
    }
    bool end_object() override {
        place_ = place_ == Place::table ? Place::root : Place::outside;
        table_.clear();
        return true;
    }
    bool start_array(std::size_t) override {
        if (place_ == Place::outside || in_array_) fail("an array", "settings");
        in_array_ = true;
        entries_.push_back({key_, {}, table_, key_line_});
        return true;
    }
    bool end_array() override {
        in_array_ = false;
        return true;
    }
    bool parse_error(std::size_t position, const std::string&,
                     const nlohmann::json::exception&) override {
        throw FileError(path_, fmt::format("line {}: invalid JSON at byte {}", *line_, position),
                        "JSON settings");
    }

  private:
    enum class Place { outside, root, table };

    [[noreturn]] void fail(const std::string& found, const std::string& expected) {
        throw FileError(path_, fmt::format("line {}: {}", *line_, found), expected);
    }
    bool add(std::string value) {
        if (place_ == Place::outside) fail("a single value", "an object");
        if (!in_array_) entries_.push_back({key_, {}, table_, key_line_});
        entries_.back().values.push_back(std::move(value));
        return true;
    }

    std::string path_;
    const int* line_;
    std::vector<ConfigEntry> entries_;
    Place place_ = Place::outside;
    bool in_array_ = false;
    std::string key_;
    int key_line_ = 0;
    std::string table_;
};

}  // namespace

std::vector<ConfigEntry> json_entries(std::string_view text, std::string_view path) {
    // The JSON library treats a zero byte as the end of the text.
    if (text.find('\0') != text.npos) throw FileError(path, "holds a zero byte", "JSON settings");
    int line = 1;
    EntryReader reader(path, &line);
    nlohmann::json::sax_parse(LineCounter(text.data(), &line),
                              LineCounter(text.data() + text.size(), &line), &reader);
    return reader.take();
}

}  // namespace cnpd
