#include "datasets/image.h"

#include <cstdlib>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "datasets/image_files.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace {
// A small file can declare gigabytes of pixels. stb_image's allocations fail above this many bytes,
// which decode_image() derives from the image's size.
thread_local std::size_t allocation_limit = 0;

// Zeroed, because stb_image before 2.28 may decode a JPEG with tables that the file does not
// define.
void* limited_malloc(std::size_t bytes) {
    return bytes > allocation_limit ? nullptr : std::calloc(bytes, 1);
}
void* limited_realloc(void* block, std::size_t bytes) {
    return bytes > allocation_limit ? nullptr : std::realloc(block, bytes);
}

// If a JPEG's codes end before its last pixel, the decoder continues with zeros. CMakeLists.txt
// patches it to call the functions below. Up to four zeros may be loaded ahead, as long as none of
// their bits is consumed.
thread_local std::int64_t jpeg_padding = 0;  // bytes, at the end of the decoder's buffer
thread_local bool jpeg_ended_early = false;

// `bits` is the number of bits left in the buffer. Returns the next zero.
[[maybe_unused]] unsigned note_jpeg_padding(int bits) {
    if (bits < 8 * jpeg_padding) jpeg_ended_early = true;
    ++jpeg_padding;
    return 0;
}
[[maybe_unused]] void end_jpeg_interval(int bits) {
    if (bits < 8 * jpeg_padding) jpeg_ended_early = true;
    jpeg_padding = 0;
}
}  // namespace

#define STBI_MALLOC(bytes) limited_malloc(bytes)
#define STBI_REALLOC(block, bytes) limited_realloc(block, bytes)
#define STBI_FREE(block) std::free(block)
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_PNM
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <cnpd_stb_image.h>  // made by CMakeLists.txt

#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

// Version 2 replaced version 1 in 2024.
#if __has_include(<stb/stb_image_resize2.h>)
#define STB_IMAGE_RESIZE_STATIC
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#include <stb/stb_image_resize2.h>
#define CNPD_STB_RESIZE 2
#else
#define STB_IMAGE_RESIZE_STATIC
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#include <stb/stb_image_resize.h>
#define CNPD_STB_RESIZE 1
#endif

namespace cnpd::datasets {

static_assert(STBI_MAX_DIMENSIONS == kMaxImageSide);

namespace {

constexpr std::string_view kFormats = "a JPEG, PNG or PPM image";

std::string stb_reason() {
    // The reason may quote the file.
    const char* reason = stbi_failure_reason();
    return engine::in_quotes(reason ? reason : "unknown");
}

void check_sides(std::int64_t w, std::int64_t h, std::string_view path) {
    if (w < 1 || h < 1 || w > kMaxImageSide || h > kMaxImageSide || w * h > kMaxImagePixels)
        throw FileError(
            path, fmt::format("is an image of {} x {} pixels", w, h),
            fmt::format("at most {} a side and {} in total", kMaxImageSide, kMaxImagePixels));
}

// stb_image fills the missing pixels of a truncated JPEG or PPM with grey instead of failing, and
// before 2.28 it writes past the end of its Huffman tables. The functions below refuse such files.

// Checks the Huffman tables in the first `length` bytes of `segment`, which extends to the end of
// the file. A table is a byte, 16 counts of codes, and the codes.
void check_huffman_tables(std::span<const stbi_uc> segment, std::size_t length,
                          std::string_view path) {
    constexpr std::size_t kHeader = 17, kMostCodes = 256;
    for (std::size_t i = 0; i < length;) {
        if (segment.size() < i + kHeader) throw FileError(path, "ends within a Huffman table");
        std::size_t codes = 0;
        for (std::size_t k = 1; k < kHeader; ++k) codes += segment[i + k];
        if (codes > kMostCodes)
            throw FileError(path, fmt::format("has a Huffman table of {} codes", codes),
                            fmt::format("at most {}", kMostCodes));
        i += kHeader + codes;
    }
}

// Follows the markers: FF and a second byte that is neither 0 (compressed data) nor D0 .. D7
// (restart).
void check_jpeg(std::span<const stbi_uc> file, std::string_view path) {
    constexpr stbi_uc kTables = 0xc4, kStart = 0xd8, kEnd = 0xd9, kScan = 0xda;
    constexpr std::size_t kMostScans = 100;  // Encoders write about ten.
    std::size_t scans = 0;
    for (std::size_t i = 0; i + 1 < file.size();) {
        if (file[i] != 0xff || file[i + 1] == 0xff) {
            ++i;
            continue;
        }
        const stbi_uc marker = file[i + 1];
        i += 2;
        if (marker == kEnd && scans > 0) return;
        if (marker == 0 || marker == kStart || (marker >= 0xd0 && marker <= 0xd7)) continue;
        if (i + 1 >= file.size()) break;
        // A scan of ten bytes that refines nothing still makes the decoder process all pixels.
        if (marker == kScan && ++scans > kMostScans)
            throw FileError(path, "has too many scans", fmt::format("at most {}", kMostScans));
        const std::size_t length = file[i] << 8 | file[i + 1];
        if (marker == kTables && length > 2)
            check_huffman_tables(file.subspan(i + 2), length - 2, path);
        i += length;
    }
    throw FileError(path, fmt::format("ends after {} bytes within a JPEG image", file.size()));
}

// Checks a PPM's header and returns its size in bytes: "P6", width, height and largest value,
// separated by white space and comments, and one more character. stb_image's sums overflow at ten
// digits, and before 2.28 it reads past the end of 16-bit pixels.
std::size_t check_ppm_header(std::span<const stbi_uc> file, std::string_view path) {
    constexpr std::size_t kMostDigits = 9;
    const auto is_space = [](stbi_uc c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    std::size_t i = 2;
    std::int64_t number = 0;
    for (int numbers = 0; numbers < 3; ++numbers) {
        while (i < file.size() && (is_space(file[i]) || file[i] == '#')) {
            if (file[i] == '#')
                while (i < file.size() && file[i] != '\n' && file[i] != '\r') ++i;
            else
                ++i;
        }
        const std::size_t begin = i;
        for (number = 0; i < file.size() && file[i] >= '0' && file[i] <= '9'; ++i) {
            if (i - begin == kMostDigits)
                throw FileError(path, "has a number with too many digits",
                                fmt::format("at most {}", kMostDigits));
            number = 10 * number + (file[i] - '0');
        }
    }
    if (number > 255)
        throw FileError(path, fmt::format("has values up to {}", number), "at most 255");
    return i + 1;
}

// Turns a stored image upright, from EXIF orientation 1 to 8.
Image upright(Image image, std::int32_t orientation) {
    if (orientation == 1) return image;
    // Orientations 5 to 8 swap the axes. from_bottom and from_right: the stored axis is reversed.
    const bool swaps = orientation >= 5;
    const bool from_bottom =
        orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const bool from_right =
        orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    Image result{.h = swaps ? image.w : image.h, .w = swaps ? image.h : image.w, .c = image.c};
    result.pixels.reserve(image.pixels.size());
    for (std::int64_t y = 0; y < result.h; ++y)
        for (std::int64_t x = 0; x < result.w; ++x) {
            const std::int64_t row = swaps ? x : y, column = swaps ? y : x;
            const std::int64_t from_y = from_bottom ? image.h - 1 - row : row;
            const std::int64_t from_x = from_right ? image.w - 1 - column : column;
            const auto pixel = image.pixels.begin() + (from_y * image.w + from_x) * image.c;
            result.pixels.insert(result.pixels.end(), pixel, pixel + image.c);
        }
    return result;
}

}  // namespace

Image decode_image(std::span<const std::byte> file, std::string_view path, bool apply_exif) {
    if (file.empty()) throw FileError(path, "is empty", kFormats);
    if (static_cast<std::int64_t>(file.size()) > kMaxImageFileBytes)
        throw FileError(path, fmt::format("holds {} bytes", file.size()),
                        fmt::format("at most {}", kMaxImageFileBytes));
    const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
    const int size = static_cast<int>(file.size());
    if (bytes[0] == 0xff) check_jpeg({bytes, file.size()}, path);
    if (is_png(file)) check_png(file, path);
    const std::size_t header = bytes[0] == 'P' ? check_ppm_header({bytes, file.size()}, path) : 0;
    int w = 0, h = 0, channels = 0;
    // Reading the header allocates the decoder's state, about 20 kB.
    allocation_limit = 1 << 16;
    if (!stbi_info_from_memory(bytes, size, &w, &h, &channels))
        throw FileError(path, fmt::format("is not an image ({})", stb_reason()), kFormats);
    check_sides(w, h, path);
    if (const std::size_t needed = header + std::size_t{1} * w * h * channels;
        header > 0 && file.size() < needed)
        throw FileError(path, fmt::format("holds {} bytes", file.size()),
                        fmt::format("{} for a PPM image of this size", needed));
    // The largest allocations for a valid file: 16-bit RGBA, doubled when the buffer grows, with
    // sides padded to whole JPEG blocks, and the compressed bytes, doubled for the same reason.
    allocation_limit += 16 * static_cast<std::size_t>(w + 64) * (h + 64) + 2 * file.size();
    constexpr int kChannels = 3;
    jpeg_padding = 0;
    jpeg_ended_early = false;
    const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
        stbi_load_from_memory(bytes, size, &w, &h, &channels, kChannels), stbi_image_free);
    if (!pixels)
        throw FileError(path, fmt::format("cannot be decoded ({})", stb_reason()), kFormats);
    if (jpeg_ended_early)
        throw FileError(path, "is a JPEG image whose compressed data end early",
                        "a complete image");
    const std::int64_t count = std::int64_t{h} * w * kChannels;
    Image image{.h = h, .w = w, .c = kChannels, .pixels = {pixels.get(), pixels.get() + count}};
    return apply_exif ? upright(std::move(image), exif_orientation(file)) : image;
}

Image load_image(const std::filesystem::path& path, bool apply_exif) {
    return decode_image(engine::read_file(path, kMaxImageFileBytes), path.string(), apply_exif);
}

Image resize(const Image& image, std::int64_t h, std::int64_t w) {
    CNPD_CHECK(h > 0 && w > 0 && h <= kMaxImageSide && w <= kMaxImageSide,
               fmt::format("cannot resize an image to {} x {}", w, h));
    CNPD_CHECK(image.c >= 1 && image.c <= 4, "an image has one to four channels");
    CNPD_CHECK(static_cast<std::int64_t>(image.pixels.size()) == image.h * image.w * image.c,
               "an image's pixels do not match its size");
    if (h == image.h && w == image.w) return image;
    Image result{.h = h, .w = w, .c = image.c};
    result.pixels.resize(h * w * image.c);
    const int from_h = static_cast<int>(image.h), from_w = static_cast<int>(image.w);
    const int to_h = static_cast<int>(h), to_w = static_cast<int>(w);
#if CNPD_STB_RESIZE == 2
    constexpr stbir_pixel_layout kLayouts[] = {STBIR_1CHANNEL, STBIR_2CHANNEL, STBIR_RGB,
                                               STBIR_4CHANNEL};
    const bool done = stbir_resize(image.pixels.data(), from_w, from_h, 0, result.pixels.data(),
                                   to_w, to_h, 0, kLayouts[image.c - 1], STBIR_TYPE_UINT8,
                                   STBIR_EDGE_CLAMP, STBIR_FILTER_TRIANGLE) != nullptr;
#else
    const bool done = stbir_resize_uint8_generic(
        image.pixels.data(), from_w, from_h, 0, result.pixels.data(), to_w, to_h, 0,
        static_cast<int>(image.c), STBIR_ALPHA_CHANNEL_NONE, 0, STBIR_EDGE_CLAMP,
        STBIR_FILTER_TRIANGLE, STBIR_COLORSPACE_LINEAR, nullptr);
#endif
    CNPD_CHECK(done, "out of memory while resizing an image");
    return result;
}

std::vector<std::uint8_t> encode_png(std::span<const std::uint8_t> pixels, std::int64_t h,
                                     std::int64_t w, std::int64_t c) {
    CNPD_CHECK(h > 0 && w > 0 && h <= kMaxImageSide && w <= kMaxImageSide && c >= 1 && c <= 4,
               fmt::format("cannot write a PNG of {} x {} pixels with {} channels", w, h, c));
    CNPD_CHECK(static_cast<std::int64_t>(pixels.size()) == h * w * c,
               "an image's pixels do not match its size");
    std::vector<std::uint8_t> file;
    const auto append = [](void* context, void* data, int size) {
        const auto* bytes = static_cast<const std::uint8_t*>(data);
        auto& target = *static_cast<std::vector<std::uint8_t>*>(context);
        target.insert(target.end(), bytes, bytes + size);
    };
    const int done =
        stbi_write_png_to_func(append, &file, static_cast<int>(w), static_cast<int>(h),
                               static_cast<int>(c), pixels.data(), static_cast<int>(w * c));
    CNPD_CHECK(done != 0, "out of memory while writing a PNG");
    return file;
}

}  // namespace cnpd::datasets
