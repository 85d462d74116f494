// Metadata of image files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace cnpd::datasets {

bool is_png(std::span<const std::byte> file);

// Checks a PNG's chunks up to its end chunk. Throws FileError with `path` in its message if a chunk
// does not match its checksum or the file ends early. Data after the end chunk are ignored.
void check_png(std::span<const std::byte> file, std::string_view path);

// The orientation in a JPEG's EXIF block, 1 to 8 as in the standard (CIPA DC-008, tag 0x0112).
// Returns 1 (upright) if the file has none, is damaged, or is not a JPEG.
std::int32_t exif_orientation(std::span<const std::byte> file);

}  // namespace cnpd::datasets
