// All streams of Philox that a run draws from, beside those of datasets/streams.h (1 << 32 is taken
// there). Streams that count epochs have room for 2^32 of them.
#pragma once

#include <cstdint>

#include "datasets/streams.h"

namespace cnpd::streams {

// The classes that adversarial examples are pushed to: kTarget + epoch.
inline constexpr std::uint64_t kTarget = std::uint64_t{2} << 32;
// The defender's clean images.
inline constexpr std::uint64_t kCleanSubset = std::uint64_t{3} << 32;
// A model's first weights, and a polarizer's.
inline constexpr std::uint64_t kWeights = std::uint64_t{4} << 32;
inline constexpr std::uint64_t kPolarizer = std::uint64_t{5} << 32;
// The training images that are poisoned.
inline constexpr std::uint64_t kPoison = 0x706f69736f6e;  // "poison"
// A drawn pattern of the blended attack.
inline constexpr std::uint64_t kPattern = 0x626c656e64;  // "blend"

}  // namespace cnpd::streams
