#include "engine/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "engine/files.h"
#include "tests/support/files.h"

namespace fs = std::filesystem;
using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

// Written by the reference implementation, safetensors 0.8 for Python.
const fs::path kReference = fs::path(CNPD_FIXTURES) / "safetensors/reference.safetensors";

std::vector<std::byte> bytes_of(std::uint64_t length, std::string_view header,
                                std::size_t data_bytes) {
    std::vector<std::byte> bytes(sizeof(length) + header.size() + data_bytes);
    std::memcpy(bytes.data(), &length, sizeof(length));
    std::memcpy(bytes.data() + sizeof(length), header.data(), header.size());
    return bytes;
}

SafetensorsFile parse(std::string_view header, std::size_t data_bytes = 0) {
    return SafetensorsFile::parse(bytes_of(header.size(), header, data_bytes), "x");
}

// The error message of parsing the header with so many bytes of data.
std::string complaint(std::string_view header, std::size_t data_bytes = 0) {
    return message_of([&] { parse(header, data_bytes); });
}

std::string tensor(std::string_view dtype, std::string_view shape, std::string_view offsets) {
    return fmt::format(R"("dtype":"{}","shape":{},"data_offsets":{})", dtype, shape, offsets);
}

template <class T>
Entry entry_of(std::string name, Shape shape, const std::vector<T>& elements) {
    return {std::move(name), dtype_of<T>, std::move(shape), std::as_bytes(std::span(elements))};
}

}  // namespace

TEST_CASE("a file of the reference implementation is read") {
    const auto file = SafetensorsFile::read(kReference);
    CHECK(file.metadata() == Metadata{{"epoch", "3"}, {"format", "pt"}});
    REQUIRE(file.entries().size() == 6);
    CHECK(file.entries()[0].name == "bn1.num_batches_tracked");
    CHECK(file.at("bn1.num_batches_tracked").shape == Shape{});
    CHECK(values<std::int64_t>(file.at("bn1.num_batches_tracked")) ==
          std::vector<std::int64_t>{391});
    CHECK(file.at("conv1.weight").shape == Shape{2, 3});
    CHECK(values<float>(file.at("conv1.weight")) ==
          std::vector<float>{0, 0.25, 0.5, 0.75, 1, 1.25});
    CHECK(values<std::uint8_t>(file.at("images")) == std::vector<std::uint8_t>{0, 127, 255});
    CHECK(values<std::int32_t>(file.at("labels")) == std::vector<std::int32_t>{3, -1});
    CHECK(values<double>(file.at("loss")) == std::vector<double>{2.5});
    CHECK(file.at("empty").shape == Shape{0, 4});
    CHECK(values<float>(file.at("empty")).empty());
    CHECK(file.find("conv1.bias") == nullptr);
    CHECK(message_of([&] { file.at("conv1.bias"); }) ==
          kReference.string() + ": a tensor is missing; expected \"conv1.bias\"");
    CHECK_NOTHROW(file.at("conv1.weight", DType::float32, {2, 3}));
    CHECK(message_of([&] {
              file.at("conv1.weight", DType::float32, {3, 2});
          }) == kReference.string() + ": tensor \"conv1.weight\" is [2,3] F32; expected [3,2] F32");
    CHECK_THROWS_AS(file.at("conv1.weight", DType::int32, {2, 3}), FileError);
    CHECK_THROWS_AS(values<double>(file.at("conv1.weight")), ShapeError);
}

TEST_CASE("a written file equals the reference implementation's") {
    const TemporaryDirectory directory;
    const auto file = SafetensorsFile::read(kReference);
    std::vector<Entry> entries = file.entries();
    for (int order = 0; order < 2; ++order) {
        write_safetensors(directory / "copy", entries, file.metadata());
        CHECK(read_file(directory / "copy", 1 << 20) == read_file(kReference, 1 << 20));
        std::reverse(entries.begin(), entries.end());
    }
}

TEST_CASE("a written file is read back, with aligned tensors") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "file";
    const std::vector<float> weights = {1, -2, 3, 0.1f, 5, 6, 7};
    const std::vector<std::uint8_t> pixels = {9, 8, 7};
    const std::vector<std::int64_t> count = {-5};
    const std::array<std::uint16_t, 3> halves = {0x3f80, 0xc000, 0x0001};
    const std::vector<Entry> entries = {
        entry_of("pixels", {1, 3}, pixels),
        {"halves", DType::bfloat16, {3}, std::as_bytes(std::span(halves))},
        entry_of("weights", {7, 1, 1}, weights),
        entry_of("a \"count\"\n", {}, count),
        entry_of("none", {3, 0}, std::vector<double>()),
    };
    write_safetensors(path, entries, {{"note", "line\n\xc3\xa9"}});
    const auto file = SafetensorsFile::read(path);
    CHECK(file.metadata().at("note") == "line\n\xc3\xa9");
    CHECK(values<float>(file.at("weights", DType::float32, {7, 1, 1})) == weights);
    CHECK(values<std::uint8_t>(file.at("pixels", DType::uint8, {1, 3})) == pixels);
    CHECK(values<std::int64_t>(file.at("a \"count\"\n", DType::int64, {})) == count);
    CHECK(file.at("none", DType::float64, {3, 0}).data.empty());
    CHECK(std::memcmp(file.at("halves").data.data(), halves.data(), 6) == 0);
    const auto* begin = file.entries()[0].data.data();
    for (const Entry& entry : file.entries())
        CHECK((entry.data.data() - begin) % size_of(entry.dtype) == 0);
    // The entries stay valid when the file is moved.
    const SafetensorsFile moved = [&] { return SafetensorsFile::read(path); }();
    CHECK(values<float>(moved.at("weights")) == weights);
}

TEST_CASE("a file without tensors is valid") {
    const TemporaryDirectory directory;
    write_safetensors(directory / "file", {});
    CHECK(fs::file_size(directory / "file") == 16);
    CHECK(SafetensorsFile::read(directory / "file").entries().empty());
}

TEST_CASE("writing refuses duplicate names, wrong sizes and invalid UTF-8") {
    const TemporaryDirectory directory;
    const std::vector<float> two = {1, 2};
    const std::vector<Entry> twice = {entry_of("w", {2}, two), entry_of("w", {2}, two)};
    CHECK_THROWS_AS(write_safetensors(directory / "file", twice), Error);
    const std::vector<Entry> short_of_bytes = {entry_of("w", {3}, two)};
    CHECK_THROWS_AS(write_safetensors(directory / "file", short_of_bytes), Error);
    const std::vector<Entry> reserved = {entry_of("__metadata__", {2}, two)};
    CHECK_THROWS_AS(write_safetensors(directory / "file", reserved), Error);
    CHECK_THROWS_AS(write_safetensors(directory / "file", {}, {{"name", "\xff"}}), Error);
    CHECK(fs::is_empty(directory.path()));
}

TEST_CASE("a full disk leaves the old checkpoint") {
    const TemporaryDirectory directory;
    const std::vector<float> weights(1000, 1.5f);
    const std::vector<Entry> entries = {entry_of("w", {1000}, weights)};
    write_safetensors(directory / "file", {});
    {
        const FullDisk full(2000);
        CHECK_THROWS_AS(write_safetensors(directory / "file", entries), FileError);
    }
    CHECK(SafetensorsFile::read(directory / "file").entries().empty());
}

TEST_CASE("files that are too short or too long are refused") {
    const auto whole = read_file(kReference, 1 << 20);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CAPTURE(size);
        CHECK_THROWS_AS(SafetensorsFile::parse({whole.begin(), whole.begin() + size}, "x"),
                        FileError);
    }
    auto longer = whole;
    longer.push_back({});
    CHECK(message_of([&] { SafetensorsFile::parse(longer, "x"); }) ==
          "x: holds 52 bytes of data; expected 51, the sum of its tensors");
    CHECK(message_of([&] { SafetensorsFile::parse({}, "x"); }) ==
          "x: holds 0 bytes; expected a safetensors file");
}

TEST_CASE("impossible header lengths are refused") {
    for (const std::uint64_t length :
         {std::uint64_t{3}, std::uint64_t{100'000'001}, ~std::uint64_t{0}, ~std::uint64_t{7}}) {
        const std::string message =
            message_of([&] { SafetensorsFile::parse(bytes_of(length, "{}", 0), "x"); });
        CHECK(message == fmt::format("x: claims a header of {} bytes; expected a safetensors file "
                                     "with at most 2",
                                     length));
    }
    CHECK(message_of(
              [&] { SafetensorsFile::parse(bytes_of(100'000'001, "{}", 100'000'100), "x"); }) ==
          "x: claims a header of 100000001 bytes; expected a safetensors file with at most "
          "100000000");
}

TEST_CASE("headers that are not JSON are refused") {
    for (const std::string_view header :
         {"", " {}", "[]", "{", "{}}", "{} x", "{\"a\"}", "{\"a\":}", "{'a':1}", "{}{}",
          "{\"\xff\":1}", "\xef\xbb\xbf{}"}) {
        CAPTURE(header);
        CHECK_THROWS_AS(parse(header), FileError);
    }
    CHECK(complaint(std::string_view("{}\0x", 4)) ==
          "x: the header is not JSON at its byte 3; expected a safetensors file");
    CHECK_NOTHROW(parse("{}   "));
    // Neither depth nor size of invalid input matters.
    CHECK_THROWS_AS(parse("{\"a\":" + std::string(1 << 20, '[')), FileError);
    std::string deep;
    for (int i = 0; i < 100000; ++i) deep += "{\"a\":";
    CHECK_THROWS_AS(parse(deep), FileError);
}

TEST_CASE("headers of another structure are refused") {
    const std::string good = tensor("F32", "[1]", "[0,4]");
    CHECK_NOTHROW(parse("{\"a\":{" + good + "}}", 4));
    CHECK(complaint("{\"a\":{" + good + "},\"a\":{" + good + "}}", 4) ==
          "x: the header holds a second \"a\"; expected each name once");
    CHECK(complaint(R"({"__metadata__":{"k":"v","k":"w"}})") ==
          R"(x: the header's metadata holds a second "k"; expected each name once)");
    CHECK(complaint(R"({"__metadata__":{"k":1}})").find("expected a string") != std::string::npos);
    CHECK_THROWS_AS(parse(R"({"__metadata__":{"k":{}}})"), FileError);
    CHECK_THROWS_AS(parse(R"({"__metadata__":[]})"), FileError);
    CHECK_THROWS_AS(parse(R"({"__metadata__":{},"__metadata__":{}})"), FileError);
    CHECK(complaint("{\"a\":3}") == "x: the header holds 3 under \"a\"; expected an object");
    CHECK_THROWS_AS(parse("{\"a\":null}"), FileError);
    CHECK(complaint("{\"a\":{}}") ==
          "x: the header's \"a\" holds too few fields; expected "
          "\"dtype\", \"shape\" and \"data_offsets\"");
    CHECK_THROWS_AS(parse(R"({"a":{"dtype":"F32","shape":[0]}})"), FileError);
    CHECK_THROWS_AS(parse("{\"a\":{" + good + ",\"shape\":[1]}}", 4), FileError);
    CHECK_THROWS_AS(parse("{\"a\":{" + good + ",\"stride\":[1]}}", 4), FileError);
    CHECK(complaint("{\"a\":{" + tensor("F16", "[1]", "[0,2]") + "}}", 2) ==
          R"(x: the header's "a" holds type "F16"; expected F32, BF16, U8, I32, I64 or F64)");
    CHECK_THROWS_AS(parse(R"({"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", 4),
                    FileError);
    CHECK_THROWS_AS(parse(R"({"a":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})", 4), FileError);
}

TEST_CASE("shapes and offsets that do not match are refused") {
    const auto refused = [](std::string_view dtype, std::string_view shape,
                            std::string_view offsets, std::size_t data_bytes) {
        CAPTURE(shape);
        CAPTURE(offsets);
        const std::string message =
            complaint("{\"a\":{" + tensor(dtype, shape, offsets) + "}}", data_bytes);
        CHECK(message.starts_with("x: "));
        CHECK(message.find('\n') == std::string::npos);
    };
    for (const std::string_view shape :
         {"[-1]", "[1.0]", "[1e0]", "[2]", "[[1]]", "[\"1\"]", "[true]", "[null]", "1", "\"1\"",
          "{}", "[9223372036854775808]", "[18446744073709551616]",
          "[4294967296,4294967296,4294967296]", "[4611686018427387905,4]", "[4611686018427387904]",
          "[4611686018427387904,4]", "[0]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"})
        refused("F32", shape, "[0,4]", 4);
    for (const std::string_view offsets :
         {"[0]", "[]", "[0,4,4]", "[4,0]", "[0,3]", "[0,5]", "[1,5]", "[0,8]", "[-4,0]",
          "[0,18446744073709551615]", "[18446744073709551612,18446744073709551615]", "4"})
        refused("F32", "[1]", offsets, 4);
    CHECK(complaint("{\"a\":{" + tensor("F32", "[2]", "[0,4]") + "}}", 4) ==
          "x: tensor \"a\" has 4 bytes; expected those of [2] F32");
    CHECK(complaint("{\"a\":{" + tensor("F32", "[2]", "[0,8]") + "}}", 4) ==
          "x: tensor \"a\" is at bytes 0 to 8 of the data; expected an end from 0 to 4");
}

TEST_CASE("gaps and overlaps are refused") {
    const auto two = [](std::string_view first, std::string_view second, std::size_t data_bytes) {
        return complaint("{\"a\":{" + tensor("U8", "[4]", first) + "},\"b\":{" +
                             tensor("U8", "[4]", second) + "}}",
                         data_bytes);
    };
    CHECK(two("[0,4]", "[4,8]", 8) == "no InputError");
    CHECK(two("[4,8]", "[0,4]", 8) == "no InputError");
    CHECK(two("[0,4]", "[5,9]", 9) ==
          "x: tensor \"b\" begins at byte 5 of the data; expected 4, "
          "without gap or overlap");
    CHECK(two("[0,4]", "[3,7]", 7).find("expected 4") != std::string::npos);
    CHECK(two("[0,4]", "[0,4]", 4).find("expected 4") != std::string::npos);
    CHECK(two("[1,5]", "[5,9]", 9).find("expected 0") != std::string::npos);
    CHECK(two("[0,4]", "[4,8]", 9).find("the sum of its tensors") != std::string::npos);
}

TEST_CASE("NaN and infinity are found in every floating-point type") {
    const auto check = [](auto value, bool finite) {
        std::vector<decltype(value)> elements(7);
        elements[5] = value;
        const Entry entry = entry_of("w", {7}, elements);
        if (finite)
            CHECK_NOTHROW(require_finite(entry, "x"));
        else
            CHECK_THROWS_WITH_AS(require_finite(entry, "x"),
                                 "x: tensor \"w\" holds NaN or infinity; expected finite values",
                                 FileError);
    };
    check(std::numeric_limits<float>::quiet_NaN(), false);
    check(-std::numeric_limits<float>::infinity(), false);
    check(-std::numeric_limits<float>::max(), true);
    check(std::numeric_limits<float>::denorm_min(), true);
    check(std::numeric_limits<double>::quiet_NaN(), false);
    check(std::numeric_limits<double>::infinity(), false);
    check(std::numeric_limits<double>::max(), true);
    check(std::int32_t{-1}, true);
    check(std::int64_t{-1}, true);
    const std::array<std::uint16_t, 2> halves = {0x3f80, 0xff81};
    const auto bytes = std::as_bytes(std::span(halves));
    CHECK_THROWS_AS(require_finite({"h", DType::bfloat16, {2}, bytes}, "x"), FileError);
    CHECK_NOTHROW(require_finite({"h", DType::bfloat16, {1}, bytes.first(2)}, "x"));
}
