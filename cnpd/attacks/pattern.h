// The patterns of the blended attack.
#pragma once

#include <cstdint>
#include <vector>

#include "cnpd/attacks/attack.h"

namespace cnpd::attacks {

// [H,W,C] as `options.blend_pattern` says:
//   noise   every value independent and uniform
//   smooth  8x8 such values a channel, enlarged with bicubic interpolation
// Throws InputError for another name.
std::vector<std::uint8_t> blend_pattern(const AttackOptions& options, const AttackedData& data);

}  // namespace cnpd::attacks
