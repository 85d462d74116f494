#include "engine/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/files.h"

namespace cnpd::engine {

namespace {

// The order in which the reference implementation writes tensors: the largest elements first.
constexpr std::array kNames = {
    std::pair{DType::int64, std::string_view("I64")},
    std::pair{DType::float64, std::string_view("F64")},
    std::pair{DType::float32, std::string_view("F32")},
    std::pair{DType::int32, std::string_view("I32")},
    std::pair{DType::bfloat16, std::string_view("BF16")},
    std::pair{DType::uint8, std::string_view("U8")},
};

// More dimensions than any tensor has. Without a limit a header could request a lot of memory.
constexpr std::size_t kMaxRank = 16;

// Parses the header event by event. Everything that the format does not allow is refused at its
// event, so that neither nesting nor size of a malicious header matter.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
  public:
    explicit HeaderReader(std::string_view path) : path_(path) {}
    Header take() { return std::move(header_); }

    bool null() override { unexpected("null"); }
    bool boolean(bool) override { unexpected("a boolean"); }
    bool number_integer(std::int64_t value) override { unexpected(fmt::to_string(value)); }
    bool number_float(double, const std::string& text) override { unexpected(in_quotes(text)); }
    bool binary(nlohmann::json::binary_t&) override { unexpected("binary data"); }

    bool number_unsigned(std::uint64_t value) override {
        if (place_ != Place::numbers) unexpected(fmt::to_string(value));
        if (numbers_.size() == (field_ == Field::shape ? kMaxRank : 2))
            fail("too many numbers", fmt::format("at most {}", numbers_.size()));
        numbers_.push_back(value);
        return true;
    }

    bool string(std::string& value) override {
        if (place_ == Place::metadata) {
            header_.metadata[key_] = value;
        } else if (place_ == Place::tensor && field_ == Field::dtype) {
            set_dtype(value);
        } else {
            unexpected(in_quotes(value));
        }
        return true;
    }

    bool start_object(std::size_t) override {
        if (place_ == Place::outside) {
            place_ = Place::header;
        } else if (place_ == Place::header) {
            place_ = key_ == kMetadataKey ? Place::metadata : Place::tensor;
            if (place_ == Place::tensor) header_.tensors.emplace_back().name = key_;
            fields_ = {};
        } else {
            unexpected("an object");
        }
        return true;
    }

    bool key(std::string& value) override {
        if (place_ == Place::tensor) {
            start_field(value);
        } else {
            const bool fresh = place_ == Place::header ? names_.insert(value).second
                                                       : !header_.metadata.contains(value);
            if (!fresh) fail("a second " + in_quotes(value), "each name once");
            key_ = value;
        }
        return true;
    }

    bool end_object() override {
        if (place_ == Place::tensor)
            for (const bool seen : fields_)
                if (!seen) fail("too few fields", R"("dtype", "shape" and "data_offsets")");
        place_ = place_ == Place::header ? Place::outside : Place::header;
        return true;
    }

    bool start_array(std::size_t) override {
        if (place_ != Place::tensor || field_ == Field::dtype) unexpected("an array");
        place_ = Place::numbers;
        numbers_.clear();
        return true;
    }

    bool end_array() override {
        place_ = Place::tensor;
        if (field_ == Field::shape) {
            set_shape();
        } else {
            if (numbers_.size() != 2) fail(fmt::format("{} data_offsets", numbers_.size()), "two");
            header_.tensors.back().offsets = {numbers_[0], numbers_[1]};
        }
        return true;
    }

    bool parse_error(std::size_t position, const std::string&,
                     const nlohmann::json::exception&) override {
        throw FileError(path_, fmt::format("the header is not JSON at its byte {}", position),
                        "a safetensors file");
    }

  private:
    // The object or array that contains the next event.
    enum class Place { outside, header, metadata, tensor, numbers };
    enum class Field { dtype, shape, data_offsets };

    [[noreturn]] void fail(const std::string& found, const std::string& expected) {
        std::string where = "the header";
        if (place_ == Place::metadata)
            where += "'s metadata";
        else if (place_ == Place::tensor || place_ == Place::numbers)
            where += "'s " + in_quotes(key_);
        throw FileError(path_, fmt::format("{} holds {}", where, found), expected);
    }

    [[noreturn]] void unexpected(const std::string& found) {
        switch (place_) {
            case Place::outside:
                fail(found, "an object");
            case Place::header:
                fail(found + " under " + in_quotes(key_), "an object");
            case Place::metadata:
                fail(found, "a string");
            case Place::numbers:
                fail(found, "an integer from 0 to 2^64 - 1");
            case Place::tensor:
                fail(found, field_ == Field::dtype ? "a type's name" : "an array");
        }
        throw Error("unknown place");
    }

    void start_field(const std::string& name) {
        constexpr std::array<std::string_view, 3> kFields = {"dtype", "shape", "data_offsets"};
        const auto found = std::find(kFields.begin(), kFields.end(), name);
        if (found == kFields.end()) fail(in_quotes(name), R"("dtype", "shape" or "data_offsets")");
        field_ = static_cast<Field>(found - kFields.begin());
        if (std::exchange(fields_[found - kFields.begin()], true))
            fail("a second " + in_quotes(name), "each field once");
    }

    void set_dtype(const std::string& name) {
        for (const auto& [dtype, dtype_name] : kNames) {
            if (name != dtype_name) continue;
            header_.tensors.back().dtype = dtype;
            return;
        }
        fail("type " + in_quotes(name), "F32, BF16, U8, I32, I64 or F64");
    }

    void set_shape() {
        std::vector<std::int64_t> extents;
        std::int64_t elements = 1;
        for (const std::uint64_t extent : numbers_) {
            if (extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) ||
                __builtin_mul_overflow(elements, static_cast<std::int64_t>(extent), &elements))
                fail("an impossible shape", "fewer than 2^63 elements");
            extents.push_back(static_cast<std::int64_t>(extent));
        }
        header_.tensors.back().shape = Shape(std::move(extents));
    }

    std::string path_;
    Header header_;
    Place place_ = Place::outside;
    // The last one of the header or of the metadata.
    std::string key_;
    Field field_ = Field::dtype;
    std::array<bool, 3> fields_{};
    std::vector<std::uint64_t> numbers_;
    std::set<std::string> names_;
};

}  // namespace

Header parse_header(std::string_view text, std::string_view path) {
    if (!text.starts_with('{'))
        throw FileError(path, "the header does not begin with {", "a safetensors file");
    // The JSON library treats a zero byte as the end of the text.
    if (const std::size_t zero = text.find('\0'); zero != text.npos)
        throw FileError(path, fmt::format("the header is not JSON at its byte {}", zero + 1),
                        "a safetensors file");
    HeaderReader reader(path);
    nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
    return reader.take();
}

int writing_order(DType dtype) {
    for (std::size_t i = 0; i < kNames.size(); ++i)
        if (kNames[i].first == dtype) return static_cast<int>(i);
    throw Error("unknown element type");
}

std::string_view safetensors_name(DType dtype) {
    return kNames[writing_order(dtype)].second;
}

}  // namespace cnpd::engine
