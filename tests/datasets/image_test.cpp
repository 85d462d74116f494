#include "datasets/image.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/files.h"
#include "kernels/common/error.h"
#include "tests/support/cifar10_files.h"
#include "tests/support/compare.h"
#include "tests/support/files.h"
#include "tests/support/jpeg.h"

namespace cnpd::datasets {
namespace {

using tests::bytes_of;
using tests::jpeg;
using tests::message_of;

Image gradient(std::int64_t h, std::int64_t w, std::int64_t c) {
    Image image{.h = h, .w = w, .c = c};
    for (std::int64_t y = 0; y < h; ++y)
        for (std::int64_t x = 0; x < w; ++x)
            for (std::int64_t k = 0; k < c; ++k)
                image.pixels.push_back(static_cast<std::uint8_t>(3 * x + 5 * y + 40 * k));
    return image;
}

std::string png(const Image& image) {
    const auto file = encode_png(image.pixels, image.h, image.w, image.c);
    return {file.begin(), file.end()};
}

std::string ppm(const Image& image) {
    return fmt::format("P6\n# made by a test\n{} {}\n255\n", image.w, image.h) +
           std::string(image.pixels.begin(), image.pixels.end());
}

std::string refusal(const std::string& file) {
    const std::string message = message_of([&] { decode_image(bytes_of(file), "a/b.png"); });
    CHECK(message.starts_with("a/b.png: "));
    CHECK(message.find('\n') == std::string::npos);
    return message;
}

TEST_CASE("PNG and PPM are read exactly, JPEG approximately") {
    for (const auto& [h, w] : {std::pair{1, 1}, {7, 5}, {32, 32}, {3, 67}}) {
        const Image image = gradient(h, w, 3);
        for (const std::string& file : {png(image), ppm(image)}) {
            const Image read = decode_image(bytes_of(file), "x");
            CHECK(read.h == h);
            CHECK(read.w == w);
            CHECK(read.c == 3);
            CHECK(read.pixels == image.pixels);
        }
    }
    const Image smooth = gradient(16, 24, 3);  // without a step from 255 to 0
    const Image read = decode_image(bytes_of(jpeg(smooth)), "x");
    REQUIRE(read.pixels.size() == smooth.pixels.size());
    int worst = 0;
    for (std::size_t i = 0; i < read.pixels.size(); ++i)
        worst = std::max(worst, std::abs(read.pixels[i] - smooth.pixels[i]));
    CHECK(worst <= 6);
}

TEST_CASE("images written by other programs are read") {
    const std::filesystem::path folder = std::filesystem::path(CNPD_FIXTURES) / "images";
    // 16 bits, interlaced; the other files were made from it.
    const Image original = load_image(folder / "interlaced.png");
    REQUIRE(original.h == 12);
    REQUIRE(original.w == 16);
    for (const std::string name : {"baseline.jpg", "progressive.jpg", "palette.png"}) {
        CAPTURE(name);
        const Image image = load_image(folder / name);
        REQUIRE(image.pixels.size() == original.pixels.size());
        double difference = 0;
        for (std::size_t i = 0; i < image.pixels.size(); ++i)
            difference += std::abs(image.pixels[i] - original.pixels[i]);
        CHECK(difference / static_cast<double>(image.pixels.size()) < 6);
    }
    const Image baseline = load_image(folder / "baseline.jpg");
    CHECK(baseline.pixels == load_image(folder / "progressive.jpg").pixels);
}

TEST_CASE("images with other numbers of channels are converted to RGB") {
    const Image grey = gradient(4, 6, 1);
    const Image read = decode_image(bytes_of(png(grey)), "x");
    REQUIRE(read.c == 3);
    for (std::size_t i = 0; i < read.pixels.size(); ++i)
        CHECK(read.pixels[i] == grey.pixels[i / 3]);
    const Image transparent = gradient(4, 6, 4);
    const Image opaque = decode_image(bytes_of(png(transparent)), "x");
    REQUIRE(opaque.pixels.size() == 4 * 6 * 3);
    for (std::size_t i = 0; i < opaque.pixels.size(); ++i)
        CHECK(opaque.pixels[i] == transparent.pixels[i / 3 * 4 + i % 3]);
}

TEST_CASE("an image file truncated at any length is refused") {
    const Image image = gradient(16, 16, 3);
    const std::string whole_png = png(image);
    for (const std::string& file : {whole_png, jpeg(image), ppm(image)}) {
        CHECK_NOTHROW(decode_image(bytes_of(file), "x"));
        // A PNG's last 12 bytes are its end marker and hold no pixels.
        const std::size_t needed = file.size() - (file == whole_png ? 12 : 0);
        std::size_t read = 0;
        for (std::size_t size = 0; size < needed; ++size) {
            try {
                decode_image(bytes_of(file).first(size), "x");
                ++read;
            } catch (const FileError&) {
            }
        }
        CHECK(read == 0);
    }
}

// A truncated JPEG has no end marker; repair tools may append one.
TEST_CASE("a truncated JPEG is refused, with and without an end marker appended") {
    const std::filesystem::path folder = std::filesystem::path(CNPD_FIXTURES) / "images";
    const std::string end = "\xff\xd9";
    for (const std::string name : {"baseline.jpg", "progressive.jpg"}) {
        CAPTURE(name);
        const std::string whole = engine::read_text_file(folder / name, 1 << 20);
        REQUIRE(whole.ends_with(end));
        CHECK(decode_image(bytes_of(whole), "x").w == 16);
        CHECK(refusal(whole.substr(0, whole.size() - end.size())).find("ends after") !=
              std::string::npos);
        for (const std::size_t percent : {25, 50, 90}) {
            CAPTURE(percent);
            const std::string cut = whole.substr(0, whole.size() * percent / 100);
            refusal(cut);
            refusal(cut + end);
        }
    }
}

TEST_CASE("a JPEG whose last scan is truncated at any length is refused") {
    Image noise = gradient(40, 56, 3);
    for (std::size_t i = 0; i < noise.pixels.size(); ++i)
        noise.pixels[i] = static_cast<std::uint8_t>(i * i * 2654435761u >> 7);
    const std::string end = "\xff\xd9", baseline = jpeg(noise),
                      progressive = engine::read_text_file(
                          std::filesystem::path(CNPD_FIXTURES) / "images/progressive.jpg", 1 << 20);
    for (const std::string& whole : {baseline, progressive}) {
        CHECK_NOTHROW(decode_image(bytes_of(whole), "x"));
        const std::size_t scan = whole.rfind("\xff\xda");
        REQUIRE(scan != std::string::npos);
        const std::size_t header = 2 + static_cast<unsigned char>(whole[scan + 3]);
        for (std::size_t size = scan + header; size < whole.size() - end.size(); ++size) {
            CAPTURE(size);
            refusal(whole.substr(0, size) + end);
        }
    }
}

TEST_CASE("files that are not images are refused by name") {
    CHECK(refusal("").find("is empty") != std::string::npos);
    CHECK(refusal("hello").find("a JPEG, PNG or PPM") != std::string::npos);
    CHECK(refusal(std::string(5000, '\0')).find("is not an image") != std::string::npos);
    // A GIF and a BMP: formats that stb_image could read.
    CHECK(refusal(std::string("GIF89a\x01\0\x01\0\x80\0\0", 13) + std::string(50, '\0'))
              .find("is not an image") != std::string::npos);
    CHECK(refusal("BM" + std::string(100, '\x01')).find("is not an image") != std::string::npos);
}

TEST_CASE("a JPEG with a Huffman table larger than the decoder's is refused") {
    std::string file = jpeg(gradient(8, 8, 3));
    const std::size_t table = file.find("\xff\xc4");
    REQUIRE(table != std::string::npos);
    for (int i = 0; i < 16; ++i) file[table + 5 + i] = '\x7f';
    CHECK(refusal(file).find("a Huffman table of 2032 codes; expected at most 256") !=
          std::string::npos);
}

TEST_CASE("a JPEG with too many scans is refused") {
    std::string file = jpeg(gradient(8, 8, 3));
    const std::size_t scan = file.find("\xff\xda");
    REQUIRE(scan != std::string::npos);
    const std::string header = file.substr(scan, 14);
    for (int i = 0; i < 100; ++i) file.insert(scan, header);
    CHECK(refusal(file).find("too many scans; expected at most 100") != std::string::npos);
}

// Found by the fuzzer: UBSan reported errors in stb_image (see datasets/CMakeLists.txt). Some
// versions of stb_image decode the second file, others refuse it.
TEST_CASE("JPEGs whose codes end early or whose coefficients overflow are harmless") {
    const std::filesystem::path folder = std::filesystem::path(CNPD_FIXTURES) / "images";
    CHECK_THROWS_AS(load_image(folder / "codes_end_early.jpg"), FileError);
    try {
        const Image image = load_image(folder / "coefficient_overflows.jpg");
        CHECK(image.h == 2);
        CHECK(image.w == 4100);
    } catch (const FileError&) {
    }
}

TEST_CASE("a message quotes a file on one line") {
    std::string file = png(gradient(4, 4, 3));
    file.replace(file.find("IDAT"), 4, "I\nA\x1b");  // refusal() checks that there is no line break
    const std::string message = refusal(file);
    // stb_image 2.28 and later do not quote the chunk.
    const bool quoted = message.find("I\\x0aA\\x1b") != std::string::npos;
    CHECK((quoted || message.find("unknown image type") != std::string::npos));
}

TEST_CASE("sizes are checked before pixels are allocated") {
    CHECK(refusal("P6 16385 1 255\n").find("16385") != std::string::npos);
    CHECK(refusal("P6 16384 16384 255\n").find("16384 x 16384") != std::string::npos);
    CHECK(refusal("P6 0 5 255\n").size() > 10);
    CHECK(refusal("P5 4 2 510\n" + std::string(16, 'x')).find("up to 510") != std::string::npos);
    CHECK(refusal("P6 5 5 11111111111\n").find("too many digits; expected at most 9") !=
          std::string::npos);
    std::string file = png(gradient(2, 2, 3));
    file[16] = 0x7f;  // the most significant byte of the width
    CHECK(refusal(file).size() > 10);
}

// Appends a PNG chunk.
void add_chunk(std::string& file, const std::string& type, const std::string& data) {
    for (int shift = 24; shift >= 0; shift -= 8) file += static_cast<char>(data.size() >> shift);
    std::uint32_t crc = 0xffffffffu;
    for (const char c : type + data) {
        crc ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0u);
    }
    file += type + data;
    for (int shift = 24; shift >= 0; shift -= 8) file += static_cast<char>(~crc >> shift);
}

TEST_CASE("a PNG with any flipped bit is refused") {
    const std::vector<std::uint8_t> pixels(5 * 7 * 3, 99);
    const auto png = encode_png(pixels, 5, 7, 3);
    const std::string sound(png.begin(), png.end());
    CHECK_NOTHROW(decode_image(bytes_of(sound), "a.png"));
    for (std::size_t i = 8; i < sound.size(); ++i) {
        std::string damaged = sound;
        damaged[i] = static_cast<char>(damaged[i] ^ 4);
        CAPTURE(i);
        CHECK(refusal(damaged) != "");
    }
}

TEST_CASE("a PNG whose data unpack to far more than its pixels is refused") {
    // 64 MiB of zeros, deflated, for an image of 4 x 4 pixels.
    const std::vector<std::uint8_t> zeros(64 << 20);
    int size = 0;
    unsigned char* packed = stbi_zlib_compress(const_cast<unsigned char*>(zeros.data()),
                                               static_cast<int>(zeros.size()), &size, 8);
    std::string file = "\x89PNG\r\n\x1a\n";
    add_chunk(file, "IHDR", std::string("\0\0\0\4\0\0\0\4\x08\2\0\0\0", 13));
    add_chunk(file, "IDAT", std::string(reinterpret_cast<const char*>(packed), size));
    add_chunk(file, "IEND", "");
    STBIW_FREE(packed);
    CHECK(refusal(file).find("outofmem") != std::string::npos);
}

TEST_CASE("resizing keeps constants and linear ramps, and averages when shrinking") {
    Image flat{.h = 9, .w = 13, .c = 3};
    flat.pixels.assign(9 * 13 * 3, 77);
    for (const auto& [h, w] : {std::pair{32, 32}, {1, 1}, {5, 31}}) {
        const Image image = resize(flat, h, w);
        CHECK(image.h == h);
        CHECK(image.w == w);
        CHECK(std::all_of(image.pixels.begin(), image.pixels.end(),
                          [](std::uint8_t value) { return value == 77; }));
    }
    // A checkerboard of 0 and 200 shrinks to its mean.
    Image board{.h = 64, .w = 64, .c = 1};
    for (int i = 0; i < 64 * 64; ++i) board.pixels.push_back((i + i / 64) % 2 ? 200 : 0);
    const Image small = resize(board, 8, 8);
    for (const int value : small.pixels) CHECK(std::abs(value - 100) <= 2);

    const Image ramp = gradient(8, 20, 3);
    CHECK(resize(ramp, 8, 20).pixels == ramp.pixels);
    const Image half = resize(ramp, 4, 10);
    for (int x = 1; x < 9; ++x) {
        const double expected = 3 * (2 * x + 0.5) + 5 * (2 * 1 + 0.5);
        CHECK(std::fabs(half.pixels[(10 + x) * 3] - expected) <= 1);
    }
    CHECK_THROWS_AS(resize(ramp, 0, 5), Error);
}

TEST_CASE("encode_png refuses sizes that do not match the pixels") {
    const std::vector<std::uint8_t> pixels(12);
    CHECK_NOTHROW(encode_png(pixels, 2, 2, 3));
    CHECK_THROWS_AS(encode_png(pixels, 2, 3, 3), Error);
    CHECK_THROWS_AS(encode_png(pixels, 0, 0, 3), Error);
    CHECK_THROWS_AS(encode_png(pixels, 1, 2, 6), Error);
}

TEST_CASE("load_image names a missing file") {
    const tests::TemporaryDirectory folder;
    CHECK(message_of([&] { load_image(folder / "none.png"); }).find("none.png: cannot be read") !=
          std::string::npos);
    tests::write_file(folder / "a.png", png(gradient(3, 4, 3)));
    CHECK(load_image(folder / "a.png").w == 4);
}

}  // namespace
}  // namespace cnpd::datasets
