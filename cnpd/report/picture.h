// Images and feature maps as <img> elements that carry their pixels in a data URI.
#pragma once

#include <optional>
#include <string>

#include "cnpd/report/colour_map.h"
#include "cnpd/report/markup.h"
#include "cnpd/report/report_data.h"

namespace cnpd::report {

// Whether sizes and number of pixels agree and there is anything to see.
bool is_valid(const Image& image);
bool is_valid(const FeatureMap& map);

// <img class="pixels">. `image` must be valid.
Markup picture(const Image& image, const std::string& description);

// Both valid and of one size.
bool are_comparable(const Image& a, const Image& b);

// The smallest box around the pixels in which two comparable images differ, in pixels. Nothing if
// the images are equal or not comparable.
struct Box {
    int left = 0, top = 0, width = 0, height = 0;
};
std::optional<Box> changed_box(const Image& clean, const Image& poisoned);

// Poisoned minus clean, times `gain`, around mid-grey. Both valid and of one size.
Image difference(const Image& clean, const Image& poisoned, int gain);

// The largest of 1, 2, 4, ... 32 that leaves all but 1 % of the differences unclipped.
int difference_gain(const std::vector<Example>& examples);

// Values from `low` (t = 0) to `high` (t = 1).
struct ColourScale {
    double low = 0;
    double high = 1;
    Rgb (*colour)(double) = activation_colour;

    double position(double value) const;  // t, NaN where the value is
};

// One channel of a valid feature map.
Image channel_image(const FeatureMap& map, int channel, const ColourScale& scale);

// A horizontal bar of the scale's colours between its two values.
Markup legend(const ColourScale& scale, const std::string& label);

}  // namespace cnpd::report
