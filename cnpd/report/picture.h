// Images and feature maps as <img> elements with a data URI.
#pragma once

#include <optional>
#include <string>

#include "cnpd/report/colour_map.h"
#include "cnpd/report/markup.h"
#include "cnpd/report/report_data.h"

namespace cnpd::report {

// True if the size matches the number of pixels and is not empty.
bool is_valid(const Image& image);
bool is_valid(const FeatureMap& map);

// <img class="pixels">. `image` must be valid.
Markup picture(const Image& image, const std::string& description);

// True if both are valid and have the same size.
bool are_comparable(const Image& a, const Image& b);

// The smallest box around the pixels in which two images differ. Empty if the images are equal or
// not comparable.
struct Box {
    int left = 0, top = 0, width = 0, height = 0;
};
std::optional<Box> changed_box(const Image& clean, const Image& poisoned);

// Poisoned minus clean, times `gain`, around mid-grey. Both must be valid and have the same size.
Image difference(const Image& clean, const Image& poisoned, int gain);

// The largest of 1, 2, 4, ... 32 that clips at most 1 % of the differences.
int difference_gain(const std::vector<Example>& examples);

// Values from `low` (t = 0) to `high` (t = 1).
struct ColourScale {
    double low = 0;
    double high = 1;
    Rgb (*colour)(double) = activation_colour;

    double position(double value) const;  // t; NaN if the value is NaN
};

// One channel of a valid feature map.
Image channel_image(const FeatureMap& map, int channel, const ColourScale& scale);

// The scale's colours as a horizontal bar between its two values.
Markup legend(const ColourScale& scale, const std::string& label);

}  // namespace cnpd::report
