// Pictures: reading, resizing, writing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace cnpd::datasets {

struct Image {
    std::int64_t h = 0, w = 0, c = 0;
    std::vector<std::uint8_t> pixels = {};  // [H,W,C]
};

// What a picture file may be at most.
inline constexpr std::int64_t kMaxImageSide = 16'384;         // pixels
inline constexpr std::int64_t kMaxImagePixels = 1 << 25;      // 33 million
inline constexpr std::int64_t kMaxImageFileBytes = 64 << 20;  // 64 MiB

// Decodes JPEG, PNG or PPM to RGB, dropping transparency. Throws FileError with `path` in its
// message for anything else, for damaged files, and for those beyond the limits above, which are
// checked before pixels are allocated.
Image decode_image(std::span<const std::byte> file, std::string_view path);
Image load_image(const std::filesystem::path& path);

// Resampled with a triangle filter, widened when shrinking so that nothing is skipped; pixels
// beyond the border repeat it. One to four channels.
Image resize(const Image& image, std::int64_t h, std::int64_t w);

// The bytes of a PNG file. pixels: [H,W,C] with one (grey), two (grey, alpha), three (RGB) or four
// (RGBA) channels.
std::vector<std::uint8_t> encode_png(std::span<const std::uint8_t> pixels, std::int64_t h,
                                     std::int64_t w, std::int64_t c);

}  // namespace cnpd::datasets
