#include "cnpd/report/colour_map.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cnpd::report {
namespace {

std::uint8_t srgb_byte(double linear) {
    const double value = std::clamp(linear, 0.0, 1.0);
    const double encoded =
        value <= 0.0031308 ? 12.92 * value : 1.055 * std::pow(value, 1 / 2.4) - 0.055;
    return static_cast<std::uint8_t>(std::lround(255 * encoded));
}

// B. Ottosson, "A perceptual color space for image processing", 2020. Hue in degrees.
Rgb oklch(double lightness, double chroma, double hue) {
    const double angle = hue * std::numbers::pi / 180;
    const double a = chroma * std::cos(angle), b = chroma * std::sin(angle);
    const auto cube = [](double x) { return x * x * x; };
    const double l = cube(lightness + 0.3963377774 * a + 0.2158037573 * b);
    const double m = cube(lightness - 0.1055613458 * a - 0.0638541728 * b);
    const double s = cube(lightness - 0.0894841775 * a - 1.2914855480 * b);
    return {srgb_byte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
            srgb_byte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
            srgb_byte(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

constexpr Rgb undefined_grey = {128, 128, 128};

}  // namespace

// Chroma stays within the sRGB gamut; clipping would make the steps unequal.
Rgb activation_colour(double t) {
    if (std::isnan(t)) return undefined_grey;
    t = std::clamp(t, 0.0, 1.0);
    return oklch(0.25 + 0.68 * t, 0.097 + 0.033 * (2 * t - 1) * (2 * t - 1), 305 - 200 * t);
}

Rgb change_colour(double t) {
    if (std::isnan(t)) return undefined_grey;
    t = std::clamp(t, 0.0, 1.0);
    return oklch(0.20 + 0.72 * t, 0.06 + 0.085 * std::sin(std::numbers::pi * t), 20 + 60 * t);
}

}  // namespace cnpd::report
