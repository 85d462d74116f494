// The EXIF orientation of JPEGs.
#include <array>
#include <cmath>
#include <string>

#include "datasets/dataset.h"
#include "datasets/image.h"
#include "datasets/image_files.h"

#include "tests/support/archives.h"
#include "tests/support/cifar10_files.h"
#include "tests/support/files.h"
#include "tests/support/jpeg.h"

namespace cnpd::datasets {
namespace {

namespace fs = std::filesystem;
using tests::bytes_of;
using tests::jpeg;
using tests::TemporaryDirectory;
using tests::write_file;

constexpr std::int64_t kH = 16, kW = 24;  // of the upright image

// Smooth, and different in each of the eight orientations.
std::array<std::uint8_t, 3> upright_pixel(std::int64_t y, std::int64_t x) {
    return {static_cast<std::uint8_t>(40 + 8 * x), static_cast<std::uint8_t>(40 + 10 * y),
            static_cast<std::uint8_t>(200 - 4 * x - 2 * y)};
}

// The sides of the upright image (top, bottom, left, right) at which the stored image's row 0 and
// column 0 are, for orientations 1 to 8 as in the standard.
constexpr const char* kSides[] = {"tl", "tr", "br", "bl", "lt", "rt", "rb", "lb"};

Image stored_for(int orientation) {
    const char row_side = kSides[orientation - 1][0], column_side = kSides[orientation - 1][1];
    const bool rows_are_rows = row_side == 't' || row_side == 'b';
    Image image{.h = rows_are_rows ? kH : kW, .w = rows_are_rows ? kW : kH, .c = 3};
    // Maps a stored row or column at `distance` from `side` to an upright coordinate.
    const auto place = [](char side, std::int64_t distance) {
        return side == 't' || side == 'l' ? distance
               : side == 'b'              ? kH - 1 - distance
                                          : kW - 1 - distance;
    };
    for (std::int64_t row = 0; row < image.h; ++row)
        for (std::int64_t column = 0; column < image.w; ++column) {
            const std::int64_t by_row = place(row_side, row),
                               by_column = place(column_side, column);
            const auto pixel =
                rows_are_rows ? upright_pixel(by_row, by_column) : upright_pixel(by_column, by_row);
            image.pixels.insert(image.pixels.end(), pixel.begin(), pixel.end());
        }
    return image;
}

std::string number(std::uint32_t value, int bytes, bool big) {
    std::string text;
    for (int i = 0; i < bytes; ++i)
        text += static_cast<char>(value >> 8 * (big ? bytes - 1 - i : i));
    return text;
}

// Inserts an EXIF block with two entries after the start marker.
std::string with_orientation(const std::string& file, std::uint32_t orientation, bool big = true) {
    const auto n = [&](std::uint32_t value, int bytes) { return number(value, bytes, big); };
    const std::string tiff = (big ? "MM" : "II") + n(42, 2) + n(8, 4) + n(2, 2) + n(0x0100, 2) +
                             n(4, 2) + n(1, 4) + n(77, 4) +  // a width
                             n(0x0112, 2) + n(3, 2) + n(1, 4) + n(orientation, 2) + n(0, 2) +
                             n(0, 4);
    const std::string block = std::string("Exif\0\0", 6) + tiff;
    return file.substr(0, 2) + "\xff\xe1" +
           number(static_cast<std::uint32_t>(block.size() + 2), 2, true) + block + file.substr(2);
}

// The largest difference from the upright image.
int worst(const Image& image) {
    REQUIRE(image.h == kH);
    REQUIRE(image.w == kW);
    int largest = 0;
    for (std::int64_t y = 0; y < kH; ++y)
        for (std::int64_t x = 0; x < kW; ++x)
            for (std::int64_t c = 0; c < 3; ++c)
                largest = std::max(
                    largest, std::abs(image.pixels[(y * kW + x) * 3 + c] - upright_pixel(y, x)[c]));
    return largest;
}

constexpr int kClose = 12;  // different orientations differ by more than 3 * kClose

TEST_CASE("with apply_exif JPEGs are turned upright from all eight EXIF orientations") {
    for (int orientation = 1; orientation <= 8; ++orientation)
        for (const bool big : {true, false}) {
            CAPTURE(orientation);
            const Image stored = stored_for(orientation);
            const std::string plain = jpeg(stored),
                              file = with_orientation(plain, orientation, big);
            CHECK(exif_orientation(bytes_of(file)) == orientation);
            CHECK(worst(decode_image(bytes_of(file), "x", true)) <= kClose);
            // Without apply_exif the orientation is ignored.
            const Image ignored = decode_image(bytes_of(file), "x");
            CHECK(ignored.h == stored.h);
            CHECK(ignored.pixels == decode_image(bytes_of(plain), "x").pixels);
            if (orientation != 1 && ignored.h == kH) CHECK(worst(ignored) > 3 * kClose);
        }
}

TEST_CASE("a damaged EXIF block or an invalid orientation means upright") {
    const std::string plain = jpeg(stored_for(1)), sound = with_orientation(plain, 6);
    CHECK(exif_orientation(bytes_of(plain)) == 1);
    for (const std::uint32_t value : {0u, 9u, 65535u})
        CHECK(exif_orientation(bytes_of(with_orientation(plain, value))) == 1);
    // The block is in the first 100 bytes. Every changed bit still gives a valid orientation.
    for (std::size_t i = 0; i < 100; ++i)
        for (const int bit : {0, 3, 7}) {
            std::string file = sound;
            file[i] = static_cast<char>(file[i] ^ 1 << bit);
            const std::int32_t orientation = exif_orientation(bytes_of(file));
            CHECK(orientation >= 1);
            CHECK(orientation <= 8);
        }
    for (std::size_t size = 0; size < 80; ++size)
        CHECK(exif_orientation(bytes_of(sound).first(size)) >= 1);
}

TEST_CASE("the exif option turns a data set of JPEGs upright, from a folder and an archive") {
    const TemporaryDirectory folder;
    for (const char* split : {"train", "test"})
        for (int orientation = 1; orientation <= 8; ++orientation)
            write_file(folder / "set" / split / (orientation % 2 ? "a" : "b") /
                           fmt::format("{}.jpg", orientation),
                       with_orientation(jpeg(stored_for(orientation)), orientation));
    tests::write_archive_of(folder / "set", folder / "set.zip");
    for (const char* data : {"set", "set.zip"}) {
        const Dataset set = load("folder", {.data = (folder / data).string(), .exif = true});
        REQUIRE(set.train.n == 8);
        CHECK(set.train.h == kH);
        CHECK(set.train.w == kW);
        const std::int64_t bytes = kH * kW * 3;
        for (const Images* images : {&set.train, &set.test})
            for (std::int64_t i = 0; i < 8; ++i) {
                const auto first = images->pixels.begin() + i * bytes;
                CHECK(worst({.h = kH, .w = kW, .c = 3, .pixels = {first, first + bytes}}) <=
                      kClose);
            }
        // If the orientation is ignored, the sizes differ.
        CHECK(tests::message_of([&] {
                  load("folder", {.data = (folder / data).string()});
              }).find("give --image-size") != std::string::npos);
    }
}

}  // namespace
}  // namespace cnpd::datasets
