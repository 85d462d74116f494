// The patterns of the blended attack.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cnpd/attacks/attack.h"

namespace cnpd::attacks {

// Whether the pattern of this name is drawn from a seed: noise and smooth are, files are not.
bool is_drawn(std::string_view name);

// [H,W,C] as `options.blend_pattern` says:
//   noise   every value independent and uniform
//   smooth  8x8 such values a channel, enlarged with bicubic interpolation
//   else    an image file, resized; on grey images the mean of its channels
// Throws FileError for a file that is not an image.
std::vector<std::uint8_t> blend_pattern(const AttackOptions& options, const AttackedData& data);

}  // namespace cnpd::attacks
