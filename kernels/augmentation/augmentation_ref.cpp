#include "kernels/augmentation/augmentation.h"
#include "kernels/common/philox.h"

namespace cnpd::kernels::reference {

void augment(const Augmentation& settings, const std::uint8_t* images, const std::int32_t* indices,
             std::int64_t count, float* batch) {
    const std::int64_t h = settings.h, w = settings.w, channels = settings.c;
    const std::int64_t pad = settings.crop_padding;
    const auto offsets = static_cast<std::uint32_t>(2 * pad + 1);
    for (std::int64_t i = 0; i < count; ++i) {
        const PhiloxResult draw =
            philox(settings.seed, settings.epoch, static_cast<std::uint64_t>(indices[i]));
        const std::int64_t row_offset = below_from_bits(draw.v[0], offsets);
        const std::int64_t column_offset = below_from_bits(draw.v[1], offsets);
        const bool flipped = settings.flip && (draw.v[2] & 1);
        for (std::int64_t y = 0; y < h; ++y)
            for (std::int64_t x = 0; x < w; ++x)
                for (std::int64_t c = 0; c < channels; ++c) {
                    const std::int64_t row = y + row_offset - pad;
                    const std::int64_t column = (flipped ? w - 1 - x : x) + column_offset - pad;
                    const bool inside = row >= 0 && row < h && column >= 0 && column < w;
                    const std::int64_t source =
                        ((indices[i] * h + row) * w + column) * channels + c;
                    const double pixel = inside ? images[source] / 255.0 : 0.0;
                    const double mean = settings.mean ? settings.mean[c] : 0;
                    const double factor = settings.inverse_std ? settings.inverse_std[c] : 1;
                    *batch++ = static_cast<float>((pixel - mean) * factor);
                }
    }
}

}  // namespace cnpd::kernels::reference
