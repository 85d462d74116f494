#include "kernels/augmentation/augmentation.h"

#include <algorithm>

#include "kernels/common/philox.h"
#include "kernels/common/row_grid.h"
#include "kernels/common/vector_access.h"

namespace cnpd::kernels::cuda {
namespace {

// Position of the window in the unpadded image.
struct Window {
    std::int64_t row = 0, column = 0;
    bool flipped = false;
};

__device__ Window draw_window(const Augmentation& settings, std::int32_t image) {
    if (settings.crop_padding == 0 && !settings.flip) return {};
    const PhiloxResult draw =
        philox(settings.seed, settings.epoch, static_cast<std::uint64_t>(image));
    const auto offsets = static_cast<std::uint32_t>(2 * settings.crop_padding + 1);
    return {static_cast<std::int64_t>(below_from_bits(draw.v[0], offsets)) - settings.crop_padding,
            static_cast<std::int64_t>(below_from_bits(draw.v[1], offsets)) - settings.crop_padding,
            settings.flip && (draw.v[2] & 1) != 0};
}

// One element of a row of the batch: its column and channel, and its normalisation.
struct Element {
    std::int64_t column, channel;
    float mean, inverse_std;

    __device__ float normalised(std::uint8_t pixel) const {
        // 1 / 255 as the sum of two floats: the difference is accurate to an ulp or two even where
        // it nearly cancels, without double arithmetic, which is slow on most GPUs.
        constexpr float kHigh = 1.0f / 255, kLow = static_cast<float>(1.0 / 255 - kHigh);
        const auto level = static_cast<float>(pixel);
        return fmaf(level, kLow, fmaf(level, kHigh, -mean)) * inverse_std;
    }
};

__device__ Element element_of(const Augmentation& settings, std::int64_t in_row) {
    const std::int64_t column = in_row / settings.c, channel = in_row % settings.c;
    return {column, channel, settings.mean ? settings.mean[channel] : 0,
            settings.inverse_std ? settings.inverse_std[channel] : 1};
}

// 4 bytes written and 1 read per element. A block handles an image or some of its rows. A thread
// keeps its columns, so that the division by C, the draw and the normalisation are computed once
// for several rows. Every thread repeats the draw, which is cheaper than waiting for one thread.
template <int Width>
__global__ void augment_images(Augmentation settings, const std::uint8_t* images,
                               const std::int32_t* indices, std::int64_t count, float* batch) {
    const std::int64_t row_elements = settings.w * settings.c;
    const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * blockDim.y + threadIdx.y;
    const std::int64_t rows_at_once = static_cast<std::int64_t>(gridDim.y) * blockDim.y;
    for (std::int64_t i = blockIdx.x; i < count; i += gridDim.x) {
        const std::int32_t index = indices[i];
        const Window window = draw_window(settings, index);
        const std::uint8_t* image = images + index * settings.h * row_elements;
        for (std::int64_t e = Width * threadIdx.x; e < row_elements; e += Width * blockDim.x) {
            Element elements[Width];
            std::int64_t source[Width];  // in a row of the image; negative: padding
            for (int k = 0; k < Width; ++k) {
                elements[k] = element_of(settings, e + k);
                const std::int64_t x = elements[k].column;
                const std::int64_t column =
                    (window.flipped ? settings.w - 1 - x : x) + window.column;
                source[k] = column >= 0 && column < settings.w
                                ? column * settings.c + elements[k].channel
                                : -1;
            }
            for (std::int64_t y = first; y < settings.h; y += rows_at_once) {
                const std::int64_t row = y + window.row;
                const bool inside = row >= 0 && row < settings.h;
                Pack<float, Width> values;
                for (int k = 0; k < Width; ++k)
                    values.of[k] = elements[k].normalised(
                        inside && source[k] >= 0 ? image[row * row_elements + source[k]] : 0);
                store(batch + (i * settings.h + y) * row_elements + e, values);
            }
        }
    }
}

}  // namespace

void augment(const Augmentation& settings, const std::uint8_t* images, const std::int32_t* indices,
             std::int64_t count, float* batch) {
    const std::int64_t row_elements = settings.w * settings.c;
    if (count == 0 || settings.h == 0 || row_elements == 0) return;
    constexpr std::int64_t kRowsOfThread = 4, kMostImages = 1 << 16, kMostParts = 1 << 15;
    const int width = widest_access_of_rows(row_elements, batch);
    const std::int64_t threads_down = (settings.h + kRowsOfThread - 1) / kRowsOfThread;
    dim3 block = row_block(row_elements / width);
    block.y = static_cast<unsigned>(std::min<std::int64_t>(block.y, threads_down));
    const std::int64_t parts = std::min((threads_down + block.y - 1) / block.y, kMostParts);
    launch({.name = "augment",
            .grid = {static_cast<unsigned>(std::min(count, kMostImages)),
                     static_cast<unsigned>(parts)},
            .block = block},
           width == 4 ? augment_images<4> : augment_images<1>, settings, images, indices, count,
           batch);
}

}  // namespace cnpd::kernels::cuda
