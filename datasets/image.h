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

// The largest image files that are read.
inline constexpr std::int64_t kMaxImageSide = 16'384;         // pixels
inline constexpr std::int64_t kMaxImagePixels = 1 << 25;      // 33 million
inline constexpr std::int64_t kMaxImageFileBytes = 64 << 20;  // 64 MiB

// Decodes JPEG, PNG or PPM to RGB, dropping transparency. The orientation that a camera wrote into
// a JPEG's EXIF block is ignored, as most training code does; with `apply_exif` the image is turned
// upright. Throws FileError with `path` in its message for anything else, for damaged files (a PNG
// chunk with a wrong checksum, a JPEG whose data end early), and for those beyond the limits above,
// which are checked before pixels are allocated.
Image decode_image(std::span<const std::byte> file, std::string_view path, bool apply_exif = false);
Image load_image(const std::filesystem::path& path, bool apply_exif = false);

// Resampled with a triangle filter, widened when shrinking so that nothing is skipped; pixels
// beyond the border repeat it. One to four channels.
Image resize(const Image& image, std::int64_t h, std::int64_t w);

// The bytes of a PNG file. pixels: [H,W,C] with one (grey), two (grey, alpha), three (RGB) or four
// (RGBA) channels.
std::vector<std::uint8_t> encode_png(std::span<const std::uint8_t> pixels, std::int64_t h,
                                     std::int64_t w, std::int64_t c);

}  // namespace cnpd::datasets
