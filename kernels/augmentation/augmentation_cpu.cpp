#include <algorithm>
#include <vector>

#include "kernels/augmentation/augmentation.h"
#include "kernels/common/parallel.h"
#include "kernels/common/philox.h"

namespace cnpd::kernels::cpu {
namespace {

constexpr std::int64_t kLevels = 256;

// The normalised value of every byte: [C,256]. Entry 0 is also the value of padding.
std::vector<float> normalised_levels(const Augmentation& settings) {
    std::vector<float> table(settings.c * kLevels);
    for (std::int64_t c = 0; c < settings.c; ++c)
        for (std::int64_t level = 0; level < kLevels; ++level) {
            const double pixel = static_cast<double>(level) / 255;
            const double mean = settings.mean ? settings.mean[c] : 0;
            const double factor = settings.inverse_std ? settings.inverse_std[c] : 1;
            table[c * kLevels + level] = static_cast<float>((pixel - mean) * factor);
        }
    return table;
}

// `count` pixels of C channels from `in`, which advances by `step` (C or -C) per pixel.
template <std::int64_t kChannels>
float* look_up(const float* table, const std::uint8_t* in, std::int64_t step, std::int64_t count,
               std::int64_t channels, float* out) {
    if constexpr (kChannels > 0) channels = kChannels;
    for (std::int64_t x = 0; x < count; ++x, in += step, out += channels)
        for (std::int64_t c = 0; c < channels; ++c) out[c] = table[c * kLevels + in[c]];
    return out;
}

template <std::int64_t kChannels>
float* pad(const float* table, std::int64_t count, std::int64_t channels, float* out) {
    if constexpr (kChannels > 0) channels = kChannels;
    for (std::int64_t x = 0; x < count; ++x, out += channels)
        for (std::int64_t c = 0; c < channels; ++c) out[c] = table[c * kLevels];
    return out;
}

template <std::int64_t kChannels>
void augment_image(const Augmentation& settings, const float* table, const std::uint8_t* image,
                   std::int32_t index, float* out) {
    const std::int64_t h = settings.h, w = settings.w, channels = settings.c;
    std::int64_t row_offset = 0, column_offset = 0;  // of the window in the unpadded image
    bool flipped = false;
    if (settings.crop_padding > 0 || settings.flip) {
        const PhiloxResult draw =
            philox(settings.seed, settings.epoch, static_cast<std::uint64_t>(index));
        const auto offsets = static_cast<std::uint32_t>(2 * settings.crop_padding + 1);
        row_offset = below_from_bits(draw.v[0], offsets) - settings.crop_padding;
        column_offset = below_from_bits(draw.v[1], offsets) - settings.crop_padding;
        flipped = settings.flip && (draw.v[2] & 1);
    }
    // Columns of the window left of the image, in it and right of it.
    const std::int64_t left = std::clamp<std::int64_t>(-column_offset, 0, w);
    const std::int64_t right = std::clamp<std::int64_t>(column_offset, 0, w);
    const std::int64_t inside = w - left - right;
    const std::int64_t first_column =
        std::max<std::int64_t>(column_offset, 0) + (flipped ? inside - 1 : 0);
    for (std::int64_t y = 0; y < h; ++y) {
        const std::int64_t row = y + row_offset;
        if (row < 0 || row >= h || inside == 0) {
            out = pad<kChannels>(table, w, channels, out);
            continue;
        }
        out = pad<kChannels>(table, flipped ? right : left, channels, out);
        out = look_up<kChannels>(table, image + (row * w + first_column) * channels,
                                 flipped ? -channels : channels, inside, channels, out);
        out = pad<kChannels>(table, flipped ? left : right, channels, out);
    }
}

}  // namespace

void augment(const Augmentation& settings, const std::uint8_t* images, const std::int32_t* indices,
             std::int64_t count, float* batch) {
    const std::vector<float> table = normalised_levels(settings);
    const std::int64_t size = settings.h * settings.w * settings.c;
    const auto augment_one = settings.c == 3   ? augment_image<3>
                             : settings.c == 1 ? augment_image<1>
                                               : augment_image<0>;
    parallel_for(count, 4, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i)
            augment_one(settings, table.data(), images + indices[i] * size, indices[i],
                        batch + i * size);
    });
}

}  // namespace cnpd::kernels::cpu
