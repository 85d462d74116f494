// Colour maps for activations, defined in OKLCH so that equal steps look equally large.
#pragma once

#include <array>
#include <cstdint>

namespace cnpd::report {

using Rgb = std::array<std::uint8_t, 3>;

// From dark violet through green to pale yellow, for t in [0,1] (clamped; NaN is mid-grey).
Rgb activation_colour(double t);

// From near-black through the attack's red to pale sand: the size of a change.
Rgb change_colour(double t);

}  // namespace cnpd::report
