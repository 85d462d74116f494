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
    // The place of the next tile: without divisions, which take as long as a transform.
    Place after(Place at) const {
        if (++at.column < columns) return at;
        at.column = 0;
        if (++at.row < rows) return at;
        at.row = 0;
        ++at.image;
        return at;
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

// The upper left corner of a tile's window, which may be outside of the image.
struct Corner {
    std::int64_t image, row, column;

    Corner(const Images& images, const Tiles::Place& place)
        : image(place.image),
          row(place.row * images.step - images.offset),
          column(place.column * images.step - images.offset) {}

    // In floats, from the beginning of the images.
    std::int64_t offset(const Images& images) const {
        return ((image * images.h + row) * images.w + column) * images.c;
    }
    template <int Window>
    bool window_is_inside(const Images& images) const {
        return row >= 0 && column >= 0 && row + Window <= images.h && column + Window <= images.w;
    }
};

// The addresses of the pixels of a window, if some of them are outside of the image.
template <int Window>
struct Pixels {
    const float* at[Window * Window];

    Pixels(const Images& images, const Corner& corner) {
        for (int i = 0; i < Window; ++i)
            for (int j = 0; j < Window; ++j) {
                const std::int64_t h = corner.row + i, w = corner.column + j;
                const bool inside = h >= 0 && h < images.h && w >= 0 && w < images.w;
                at[i * Window + j] =
                    inside ? images.data + ((corner.image * images.h + h) * images.w + w) * images.c
                           : images.zeros;
            }
    }
};

// Prefetches a cache line of each pixel of a window. The hardware prefetcher does not follow the
// jumps between rows of an image, so the first access would wait for memory. Addresses outside of
// the image do no harm.
template <int Window>
inline void prefetch_window(const Images& images, const Corner& corner, std::int64_t channel) {
    const auto pixel = static_cast<std::int64_t>(sizeof(float)) * images.c;
    const std::uintptr_t first =
        reinterpret_cast<std::uintptr_t>(images.data) +
        static_cast<std::uintptr_t>(static_cast<std::int64_t>(sizeof(float)) *
                                    (corner.offset(images) + channel));
    // The columns before the last `step` ones belong to the window on the left as well.
    for (std::int64_t i = 0; i < Window; ++i)
        for (std::int64_t j = Window - std::min<std::int64_t>(images.step, Window); j < Window; ++j)
            __builtin_prefetch(reinterpret_cast<const void*>(
                first + static_cast<std::uintptr_t>((i * images.w + j) * pixel)));
}

// Transforms the windows [Window,Window] of tiles [first, first + count) of the images into rows
// 0..count-1 of `to`.
template <int Window, int Transformed, auto transform>
inline void transform_tiles(const Images& images, const Tiles& tiles, std::int64_t first,
                            std::int64_t count, const Panels& to) {
    Tiles::Place place = tiles.place(first);
    for (std::int64_t row = 0; row < count; ++row) {
        const Corner corner(images, place);
        place = tiles.after(place);
        const Corner next(images, place);
        const auto transform_channels = [&](std::int64_t c, const auto& load) {
            if (c % kPanel == 0) prefetch_window<Window>(images, next, c);
            float* const out = to.panel(0, c / kPanel) + row * kPanel + c % kPanel;
            both_dimensions<Window, Transformed, transform>(
                load, [&](int p, Vector v) { simd::store(out + p * to.position_stride, v); });
        };
        std::int64_t c = 0;
        if (corner.template window_is_inside<Window>(images)) {
            const float* const pixels = images.data + corner.offset(images);
            for (; c + simd::kWidth <= images.c; c += simd::kWidth)
                transform_channels(c, [&](int i) {
                    return simd::load(pixels + (i / Window * images.w + i % Window) * images.c + c);
                });
            if (c == images.c) continue;
        }
        const Pixels<Window> pixels(images, corner);
        for (; c + simd::kWidth <= images.c; c += simd::kWidth)
            transform_channels(c, [&](int i) { return simd::load(pixels.at[i] + c); });
        if (c < images.c)
            transform_channels(
                c, [&](int i) { return simd::load_first(pixels.at[i] + c, images.c - c); });
    }
}

}  // namespace cnpd::kernels::winograd
