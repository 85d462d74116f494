// Positions of the tiles of a Winograd convolution, and the transformation of images into panels.
// Private to winograd*.cpp.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/convolution/winograd_gemm.h"
#include "kernels/convolution/winograd_transforms.h"

namespace cnpd::kernels::winograd {

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}
inline std::int64_t panels(std::int64_t channels) {
    return divide_up(channels, kPanel);
}

// The outputs [N,H,W] of a scheme cut into tiles, numbered along rows of an image, then images.
// Tiles at the lower and right edge may extend beyond the image.
struct Tiles {
    std::int64_t h, w, size, rows, columns, count;

    Tiles(std::int64_t n, std::int64_t out_h, std::int64_t out_w, std::int64_t tile_size)
        : h(out_h),
          w(out_w),
          size(tile_size),
          rows(divide_up(out_h, tile_size)),
          columns(divide_up(out_w, tile_size)),
          count(n * rows * columns) {}

    struct Place {
        std::int64_t image, row, column;  // in units of tiles
    };
    Place place(std::int64_t tile) const {
        return {tile / (rows * columns), tile / columns % rows, tile % columns};
    }
};

// Images [N,H,W,C] and the positions of the tiles' windows.
struct Images {
    const float* data;
    std::int64_t h, w, c;
    std::int64_t step;    // from one tile's window to the next
    std::int64_t offset;  // the first window begins this far above and left of the image
    const float* zeros;   // at least C: read for pixels outside of the image
};

// A transformed matrix [rows, columns] for each position, in panels. An odd number of cache lines
// between positions keeps the streams that a transform writes, one per position, in different sets
// of the L1 cache.
struct Panels {
    float* data;
    std::int64_t rows;  // allocated, of each panel
    std::int64_t position_stride;

    static std::int64_t stride(std::int64_t rows, std::int64_t columns) {
        return panels(columns) * rows * kPanel + kPanel;
    }
    Panels(float* memory, std::int64_t row_count, std::int64_t columns)
        : data(memory), rows(row_count), position_stride(stride(row_count, columns)) {}

    float* panel(std::int64_t position, std::int64_t index) const {
        return data + position * position_stride + index * rows * kPanel;
    }
    Panels from_row(std::int64_t row) const {
        Panels view = *this;
        view.data += row * kPanel;
        return view;
    }
};

// The addresses of the pixels of one tile's window.
template <int Window>
struct Pixels {
    const float* at[Window * Window];

    Pixels(const Images& images, const Tiles::Place& place) {
        for (int i = 0; i < Window; ++i)
            for (int j = 0; j < Window; ++j) {
                const std::int64_t h = place.row * images.step + i - images.offset;
                const std::int64_t w = place.column * images.step + j - images.offset;
                const bool inside = h >= 0 && h < images.h && w >= 0 && w < images.w;
                at[i * Window + j] =
                    inside ? images.data + ((place.image * images.h + h) * images.w + w) * images.c
                           : images.zeros;
            }
    }
    // Prefetches a cache line of each pixel. The hardware prefetcher does not follow the jumps
    // between rows of an image, so the first access would wait for memory.
    void prefetch(std::int64_t channel) const {
        for (const float* pixel : at) __builtin_prefetch(pixel + channel);
    }
};

// Transforms the windows [Window,Window] of tiles [first, first + count) of the images into rows
// 0..count-1 of `to`.
template <int Window, int Transformed, auto transform>
inline void transform_tiles(const Images& images, const Tiles& tiles, std::int64_t first,
                            std::int64_t count, const Panels& to) {
    Pixels<Window> pixels(images, tiles.place(first));
    for (std::int64_t row = 0; row < count; ++row) {
        const Pixels<Window> next(images, tiles.place(std::min(first + row + 1, tiles.count - 1)));
        for (std::int64_t c = 0; c < images.c; c += simd::kWidth) {
            if (c % kPanel == 0) next.prefetch(c);
            float* out = to.panel(0, c / kPanel) + row * kPanel + c % kPanel;
            const auto store = [&](int p, Vector v) {
                simd::store(out + p * to.position_stride, v);
            };
            const std::int64_t channels = images.c - c;
            if (channels >= simd::kWidth)
                both_dimensions<Window, Transformed, transform>(
                    [&](int i) { return simd::load(pixels.at[i] + c); }, store);
            else
                both_dimensions<Window, Transformed, transform>(
                    [&](int i) { return simd::load_first(pixels.at[i] + c, channels); }, store);
        }
        pixels = next;
    }
}

}  // namespace cnpd::kernels::winograd
