// The patterns of the blended attack.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cnpd/attacks/attack.h"
#include "datasets/image.h"

namespace cnpd::attacks {

// True for patterns drawn from a seed (noise, smooth); false for files.
bool is_drawn(std::string_view name);

// [H,W,C] by name:
//   noise every value independent and uniform smooth 8x8 such values per channel, enlarged with
//   bicubic interpolation else an image file, converted by pattern_from()
// Throws FileError for a file that is not an image.
std::vector<std::uint8_t> blend_pattern(const std::string& name, std::uint64_t seed,
                                        const AttackedData& data);

// The image resized to [H,W,C]; for grey data sets the mean of its channels.
std::vector<std::uint8_t> pattern_from(const datasets::Image& image, const AttackedData& data);

}  // namespace cnpd::attacks
