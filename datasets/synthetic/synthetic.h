// A generated data set of images like traffic signs, for the demo and for tests: no download, ten
// classes, 32x32 RGB.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "datasets/dataset.h"

namespace cnpd::datasets::synthetic {

inline constexpr std::int64_t kSize = 32;  // pixels a side
inline constexpr std::int32_t kClasses = 10;
// Largest value of any channel: pure white is reserved for a backdoor's trigger.
inline constexpr std::uint8_t kBrightest = 240;

struct Options {
    std::uint64_t seed = 0;
    std::int64_t train = 10'000, test = 2'000;
};

// Draws the images. Image i of a split shows class i mod 10 and depends only on the seed, the split
// and i. It does not depend on the number of threads, and a smaller set is the beginning of a
// larger one.
Dataset generate(const Options& options);

// Each split is its own sequence of images.
enum class Split : std::uint32_t { train = 0, test = 1 };

// One image of a split, [H,W,C] into `pixels`.
void draw(std::uint64_t seed, Split split, std::int64_t index,
          std::span<std::uint8_t, kSize * kSize * 3> pixels);

}  // namespace cnpd::datasets::synthetic
