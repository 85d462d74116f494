// The ten signs.
#pragma once

#include <cstdint>
#include <string_view>

#include "datasets/synthetic/geometry.h"
#include "datasets/synthetic/random.h"

namespace cnpd::datasets::synthetic {

// Their order is that of the labels.
inline constexpr std::string_view kClassNames[] = {
    "turn_left", "turn_right", "ahead",   "limit_30",   "limit_80",
    "no_entry",  "stop",       "caution", "crossroads", "priority",
};

// The paints of one sign; every sign is printed, bleached and cleaned a little differently.
struct Paint {
    Colour white, black, red, blue, yellow;
};
Paint mix_paint(Random& random);

struct Sample {
    Colour colour;
    float opacity = 0;  // 0 beside the sign
};

// The sign at p, where the sign's outline reaches about 1 from its centre (0,0). `pixel` is the
// width of a pixel in that unit.
Sample sample_sign(std::int32_t label, Point p, float pixel, const Paint& paint);

// Signed distance from the sign's outline.
float sign_outline(std::int32_t label, Point p);

}  // namespace cnpd::datasets::synthetic
