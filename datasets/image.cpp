#include "datasets/image.h"

#include <cstdlib>
#include <memory>

#include <fmt/format.h>

#include "engine/files.h"
#include "kernels/common/error.h"

namespace {
// A compressed picture can claim to unpack to gigabytes. stb_image's allocations fail above this
// many bytes, which decode_image() derives from the picture's size.
thread_local std::size_t allocation_limit = 0;

void* limited_malloc(std::size_t bytes) {
    return bytes > allocation_limit ? nullptr : std::malloc(bytes);
}
void* limited_realloc(void* block, std::size_t bytes) {
    return bytes > allocation_limit ? nullptr : std::realloc(block, bytes);
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
#include <stb/stb_image.h>

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
    const char* reason = stbi_failure_reason();
    return reason ? reason : "unknown";
}

void check_sides(std::int64_t w, std::int64_t h, std::string_view path) {
    if (w < 1 || h < 1 || w > kMaxImageSide || h > kMaxImageSide || w * h > kMaxImagePixels)
        throw FileError(
            path, fmt::format("is an image of {} x {} pixels", w, h),
            fmt::format("at most {} a side and {} in all", kMaxImageSide, kMaxImagePixels));
}

// stb_image fills what is missing of a cut-off JPEG or PPM with grey instead of failing, so their
// ends are looked for here.

// Whether the end marker follows the first scan. Markers are FF and a second byte that is neither
// 0, as in compressed data, nor a restart's D0 .. D7.
bool jpeg_is_complete(std::span<const stbi_uc> file) {
    constexpr stbi_uc kStart = 0xd8, kEnd = 0xd9, kScan = 0xda;
    bool in_scan = false;
    for (std::size_t i = 0; i + 1 < file.size();) {
        if (file[i] != 0xff || file[i + 1] == 0xff) {
            ++i;
            continue;
        }
        const stbi_uc marker = file[i + 1];
        i += 2;
        if (marker == kEnd) return in_scan;
        if (marker == 0 || marker == kStart || (marker >= 0xd0 && marker <= 0xd7)) continue;
        if (i + 1 >= file.size()) return false;
        in_scan |= marker == kScan;
        i += file[i] << 8 | file[i + 1];
    }
    return false;
}

// Bytes that a PPM's header takes: "P6", width, height and largest value, between them white space
// and comments, and one more character.
std::size_t ppm_header_bytes(std::span<const stbi_uc> file) {
    const auto is_space = [](stbi_uc c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    std::size_t i = 2;
    for (int number = 0; number < 3; ++number) {
        while (i < file.size() && (is_space(file[i]) || file[i] == '#')) {
            if (file[i] == '#')
                while (i < file.size() && file[i] != '\n' && file[i] != '\r') ++i;
            else
                ++i;
        }
        while (i < file.size() && file[i] >= '0' && file[i] <= '9') ++i;
    }
    return i + 1;
}

void check_complete(std::span<const stbi_uc> file, std::int64_t samples, std::string_view path) {
    if (file[0] == 0xff && !jpeg_is_complete(file))
        throw FileError(path, fmt::format("ends after {} bytes within a JPEG image", file.size()));
    if (file[0] != 'P') return;
    const bool wide = stbi_is_16_bit_from_memory(file.data(), static_cast<int>(file.size()));
    const std::size_t needed = ppm_header_bytes(file) + samples * (wide ? 2 : 1);
    if (file.size() < needed)
        throw FileError(path, fmt::format("holds {} bytes", file.size()),
                        fmt::format("{} of a PPM image", needed));
}

}  // namespace

Image decode_image(std::span<const std::byte> file, std::string_view path) {
    if (file.empty()) throw FileError(path, "is empty", kFormats);
    if (static_cast<std::int64_t>(file.size()) > kMaxImageFileBytes)
        throw FileError(path, fmt::format("holds {} bytes", file.size()),
                        fmt::format("at most {}", kMaxImageFileBytes));
    const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
    const int size = static_cast<int>(file.size());
    int w = 0, h = 0, channels = 0;
    // A decoder's own state, some 20 kB, is allocated even to look at the header.
    allocation_limit = 1 << 16;
    if (!stbi_info_from_memory(bytes, size, &w, &h, &channels))
        throw FileError(path, fmt::format("is no image ({})", stb_reason()), kFormats);
    check_sides(w, h, path);
    check_complete({bytes, file.size()}, std::int64_t{w} * h * channels, path);
    // The largest blocks that a sound file needs: 16-bit RGBA doubled when the buffer grows,
    // dimensions padded to whole JPEG blocks, and the compressed bytes doubled likewise.
    allocation_limit += 16 * static_cast<std::size_t>(w + 64) * (h + 64) + 2 * file.size();
    constexpr int kChannels = 3;
    const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
        stbi_load_from_memory(bytes, size, &w, &h, &channels, kChannels), stbi_image_free);
    if (!pixels)
        throw FileError(path, fmt::format("cannot be decoded ({})", stb_reason()), kFormats);
    const std::int64_t count = std::int64_t{h} * w * kChannels;
    return {.h = h, .w = w, .c = kChannels, .pixels = {pixels.get(), pixels.get() + count}};
}

Image load_image(const std::filesystem::path& path) {
    return decode_image(engine::read_file(path, kMaxImageFileBytes), path.string());
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
