// Philox streams of the data sets, one for each purpose, so that draws with the same seed are
// independent. The streams of the rest of the program are in cnpd/streams.h.
#pragma once

#include <cstdint>

namespace cnpd::datasets::streams {

// The order of an epoch's images: kOrder + epoch. Augmentation uses the stream `epoch`.
inline constexpr std::uint64_t kOrder = std::uint64_t{1} << 32;
// The images that --train-limit and --test-limit keep.
inline constexpr std::uint64_t kTrainSubset = 0x7261'696e, kTestSubset = 0x7465'7374;

}  // namespace cnpd::datasets::streams
