// Reading, resizing and writing images.
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

// Limits of the image files that are read.
inline constexpr std::int64_t kMaxImageSide = 16'384;         // pixels
inline constexpr std::int64_t kMaxImagePixels = 1 << 25;      // 33 million
inline constexpr std::int64_t kMaxImageFileBytes = 64 << 20;  // 64 MiB

// Decodes JPEG, PNG or PPM to RGB, dropping transparency. The orientation in a JPEG's EXIF block is
// ignored, as in most training code; with `apply_exif` the image is turned upright. Throws
// FileError with `path` in its message for other formats, for damaged files (a PNG chunk with a
// wrong checksum, a JPEG whose data end early), and for files beyond the limits above, which are
// checked before pixels are allocated.
Image decode_image(std::span<const std::byte> file, std::string_view path, bool apply_exif = false);
Image load_image(const std::filesystem::path& path, bool apply_exif = false);

// Resamples with a triangle filter, which is widened when shrinking so that every pixel
// contributes; pixels beyond the border repeat it. One to four channels.
Image resize(const Image& image, std::int64_t h, std::int64_t w);

// Encodes pixels [H,W,C] as a PNG file, with one (grey), two (grey, alpha), three (RGB) or four
// (RGBA) channels.
std::vector<std::uint8_t> encode_png(std::span<const std::uint8_t> pixels, std::int64_t h,
                                     std::int64_t w, std::int64_t c);

}  // namespace cnpd::datasets
