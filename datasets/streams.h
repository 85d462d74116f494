// The streams of Philox that data sets draw from, one for each purpose, so that draws of one seed
// do not depend on each other. Those of the rest of the program are in cnpd/streams.h.
#pragma once

#include <cstdint>

namespace cnpd::datasets::streams {

// The order of an epoch's images: kOrder + epoch. Augmentation draws from the epoch's number
// itself.
inline constexpr std::uint64_t kOrder = std::uint64_t{1} << 32;
// Which images --train-limit and --test-limit keep.
inline constexpr std::uint64_t kTrainSubset = 0x7261'696e, kTestSubset = 0x7465'7374;

}  // namespace cnpd::datasets::streams
