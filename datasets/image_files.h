// What the bytes of image files say beside the pixels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace cnpd::datasets {

bool is_png(std::span<const std::byte> file);

// Follows a PNG's chunks up to its end chunk. Throws FileError with `path` in its message when a
// chunk does not match its checksum or the file ends early; what follows the end chunk is ignored.
void check_png(std::span<const std::byte> file, std::string_view path);

// The orientation that a JPEG's EXIF block gives, 1 to 8 as in the standard (CIPA DC-008, tag
// 0x0112); 1, upright, where the file has none, is damaged, or is something else than a JPEG.
std::int32_t exif_orientation(std::span<const std::byte> file);

}  // namespace cnpd::datasets
