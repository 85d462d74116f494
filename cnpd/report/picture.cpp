#include "cnpd/report/picture.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "cnpd/report/base64.h"
#include "datasets/image.h"

namespace cnpd::report {
namespace {

constexpr std::int64_t most_pixels = std::int64_t{1} << 22;  // limits the page's size

}  // namespace

bool is_valid(const Image& image) {
    if (image.height <= 0 || image.width <= 0) return false;
    if (image.channels != 1 && image.channels != 3) return false;
    const std::int64_t area = std::int64_t{image.height} * image.width;
    return area <= most_pixels && area * image.channels == std::ssize(image.pixels);
}

bool is_valid(const FeatureMap& map) {
    if (map.height <= 0 || map.width <= 0 || map.channels <= 0) return false;
    const std::int64_t area = std::int64_t{map.height} * map.width;
    return area <= most_pixels && area * map.channels == std::ssize(map.values);
}

bool are_comparable(const Image& a, const Image& b) {
    return is_valid(a) && is_valid(b) && a.height == b.height && a.width == b.width &&
           a.channels == b.channels;
}

std::optional<Box> changed_box(const Image& clean, const Image& poisoned) {
    if (!are_comparable(clean, poisoned)) return std::nullopt;
    int left = clean.width, right = -1, top = clean.height, bottom = -1;
    for (std::size_t i = 0; i < clean.pixels.size(); ++i) {
        if (clean.pixels[i] == poisoned.pixels[i]) continue;
        const int pixel = static_cast<int>(i) / clean.channels;
        const int x = pixel % clean.width, y = pixel / clean.width;
        left = std::min(left, x);
        right = std::max(right, x);
        top = std::min(top, y);
        bottom = std::max(bottom, y);
    }
    if (right < 0) return std::nullopt;
    return Box{.left = left, .top = top, .width = right - left + 1, .height = bottom - top + 1};
}

Markup picture(const Image& image, const std::string& description) {
    return markup(
        "<img class=\"pixels\" width=\"{}\" height=\"{}\" alt=\"{}\" "
        "src=\"data:image/png;base64,{}\"/>",
        image.width, image.height, description,
        base64(datasets::encode_png(image.pixels, image.height, image.width, image.channels)));
}

Image difference(const Image& clean, const Image& poisoned, int gain) {
    Image result = poisoned;
    for (std::size_t i = 0; i < result.pixels.size(); ++i) {
        const int change = poisoned.pixels[i] - clean.pixels[i];
        result.pixels[i] = static_cast<std::uint8_t>(std::clamp(128 + gain * change, 0, 255));
    }
    return result;
}

int difference_gain(const std::vector<Example>& examples) {
    std::int64_t histogram[256] = {};
    std::int64_t changed = 0;
    for (const Example& example : examples) {
        if (!are_comparable(example.clean, example.poisoned)) continue;
        for (std::size_t i = 0; i < example.clean.pixels.size(); ++i) {
            const int change = std::abs(example.poisoned.pixels[i] - example.clean.pixels[i]);
            ++histogram[change];
            changed += change > 0;
        }
    }
    // Counts changed pixels only, because a patch trigger changes less than 1 % of an image.
    std::int64_t above = 0;
    int largest = 255;
    while (largest > 1 && (above += histogram[largest]) * 100 <= changed) --largest;
    int gain = 1;
    while (gain < 32 && 2 * gain * largest <= 127) gain *= 2;
    return gain;
}

double ColourScale::position(double value) const {
    if (!is_drawable(value)) return not_measured;
    return high > low ? (value - low) / (high - low) : 0.5;
}

Image channel_image(const FeatureMap& map, int channel, const ColourScale& scale) {
    Image image{.height = map.height, .width = map.width, .channels = 3, .pixels = {}};
    image.pixels.reserve(map.values.size() / map.channels * 3);
    for (std::size_t at = channel; at < map.values.size(); at += map.channels)
        for (std::uint8_t part : scale.colour(scale.position(map.values[at])))
            image.pixels.push_back(part);
    return image;
}

Markup legend(const ColourScale& scale, const std::string& label) {
    constexpr int steps = 96;
    Image bar{.height = 1, .width = steps, .channels = 3, .pixels = {}};
    for (int i = 0; i < steps; ++i)
        for (std::uint8_t part : scale.colour(i / (steps - 1.0))) bar.pixels.push_back(part);
    return markup(
        "<span class=\"legend\"><span>{}</span> <span class=\"number\">{}</span> {} "
        "<span class=\"number\">{}</span></span>",
        label, number(scale.low, 3), picture(bar, label), number(scale.high, 3));
}

}  // namespace cnpd::report
