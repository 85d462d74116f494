#include "cnpd/attacks/pattern.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "cnpd/streams.h"
#include "datasets/image.h"
#include "engine/random.h"
#include "kernels/common/error.h"

namespace cnpd::attacks {
namespace {

std::vector<std::uint8_t> noise(std::int64_t count, std::uint64_t seed) {
    engine::Generator generator(seed, streams::kPattern);
    std::vector<std::uint8_t> values(count);
    for (auto& value : values) value = static_cast<std::uint8_t>(generator.below(256));
    return values;
}

// The four taps at position `to` when enlarging `from` samples to `size`. Samples lie at the
// centres of their intervals, and the border is repeated. Keys' cubic with a = -0.75.
struct Taps {
    std::array<std::int64_t, 4> index;
    std::array<double, 4> weight;
};

Taps cubic_taps(std::int64_t to, std::int64_t size, std::int64_t from) {
    constexpr double a = -0.75;
    const double at =
        (static_cast<double>(to) + 0.5) * static_cast<double>(from) / static_cast<double>(size) -
        0.5;
    const auto base = static_cast<std::int64_t>(std::floor(at));
    Taps taps;
    for (int k = 0; k < 4; ++k) {
        const double x = std::fabs(at - static_cast<double>(base + k - 1));
        taps.index[k] = std::clamp<std::int64_t>(base + k - 1, 0, from - 1);
        taps.weight[k] = x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1
                                : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    }
    return taps;
}

std::vector<std::uint8_t> smooth(const AttackedData& data, std::uint64_t seed) {
    constexpr std::int64_t kSide = 8;
    const auto coarse = noise(kSide * kSide * data.c, seed);  // [8,8,C]
    std::vector<std::uint8_t> pattern(data.h * data.w * data.c);
    for (std::int64_t row = 0; row < data.h; ++row) {
        const Taps rows = cubic_taps(row, data.h, kSide);
        for (std::int64_t column = 0; column < data.w; ++column) {
            const Taps columns = cubic_taps(column, data.w, kSide);
            for (std::int64_t c = 0; c < data.c; ++c) {
                double value = 0;
                for (int i = 0; i < 4; ++i)
                    for (int j = 0; j < 4; ++j)
                        value += rows.weight[i] * columns.weight[j] *
                                 coarse[(rows.index[i] * kSide + columns.index[j]) * data.c + c];
                pattern[(row * data.w + column) * data.c + c] =
                    static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
            }
        }
    }
    return pattern;
}

}  // namespace

bool is_drawn(std::string_view name) {
    return name == "noise" || name == "smooth";
}

std::vector<std::uint8_t> pattern_from(const datasets::Image& picture, const AttackedData& data) {
    datasets::Image image = datasets::resize(picture, data.h, data.w);
    if (image.c == data.c) return std::move(image.pixels);
    if (data.c != 1)
        throw InputError(fmt::format("a pattern of {} channels cannot be blended with images of {}",
                                     image.c, data.c));
    std::vector<std::uint8_t> grey(data.h * data.w);
    for (std::size_t pixel = 0; pixel < grey.size(); ++pixel) {
        std::int64_t sum = 0;
        for (std::int64_t c = 0; c < image.c; ++c)
            sum += image.pixels[pixel * static_cast<std::size_t>(image.c) +
                                static_cast<std::size_t>(c)];
        grey[pixel] = static_cast<std::uint8_t>(sum / image.c);
    }
    return grey;
}

std::vector<std::uint8_t> blend_pattern(const std::string& name, std::uint64_t seed,
                                        const AttackedData& data) {
    if (name == "noise") return noise(data.h * data.w * data.c, seed);
    if (name == "smooth") return smooth(data, seed);
    return pattern_from(datasets::load_image(name), data);
}

}  // namespace cnpd::attacks
