// Images and feature maps as <img> elements that carry their pixels in a data URI.
#pragma once

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
