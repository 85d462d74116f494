// The ten signs.
#pragma once

#include <cstdint>
#include <string_view>

#include "datasets/synthetic/geometry.h"
#include "datasets/synthetic/random.h"

namespace cnpd::datasets::synthetic {

// In the order of the labels.
inline constexpr std::string_view kClassNames[] = {
    "turn_left", "turn_right", "ahead",   "limit_30",   "limit_80",
    "no_entry",  "stop",       "caution", "crossroads", "priority",
};

// The paints of one sign. They vary between signs like print, fading and dirt.
struct Paint {
    Colour white, black, red, blue, yellow;
};
Paint mix_paint(Random& random);

struct Sample {
    Colour colour;
    float opacity = 0;  // 0 outside the sign
};

// The sign at p, in coordinates with the sign's centre at (0,0) and its outline at a distance of
// about 1. `pixel` is the width of a pixel in these coordinates.
Sample sample_sign(std::int32_t label, Point p, float pixel, const Paint& paint);

// Signed distance from the sign's outline.
float sign_outline(std::int32_t label, Point p);

}  // namespace cnpd::datasets::synthetic
