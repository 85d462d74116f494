// A tile of 4x4 outputs times 16 output channels is kept in registers, and the sum runs over the
// channels and taps. Each element of the filter is then read once for 16 outputs, and for an image
// of 4x4 once in the whole call: there the time is that of reading the filter from memory.
//
// Memory, in panels of 16 channels:
//     images  [N][C panel][row][column][16], with the padding around each image
//     filter  [K panel][C panel][tap][channel][16 k], in the order in which it is read
#include "kernels/convolution/direct.h"

#include <type_traits>

#include "kernels/common/parallel.h"
#include "kernels/common/workspace.h"
#include "kernels/convolution/winograd_tiles.h"

namespace cnpd::kernels::direct {
namespace {

using simd::Vector;
using winograd::divide_up;
using winograd::kPanel;
using winograd::kVectors;
using winograd::panels;
using winograd::Tiles;

constexpr int kTile = 4;
// Rows of a tile that are computed at a time: 16 sums in registers with AVX-512, 8 with
// AVX2, 16 with SSE.
constexpr int kRows = simd::kWidth == 16 ? 4 : 1;

// The padded images in panels.
struct Padded {
    const ConvolutionShape& shape;
    std::int64_t h, w;  // up to the last window of the last tile

    explicit Padded(const ConvolutionShape& s)
        : shape(s),
          h((divide_up(s.out_h(), kTile) * kTile - 1) * s.stride + s.r),
          w((divide_up(s.out_w(), kTile) * kTile - 1) * s.stride + s.s) {}

    std::int64_t panel_size() const { return h * w * kPanel; }
    std::int64_t image_size() const { return panels(shape.c) * panel_size(); }

    // Panel `index` of all panels of all images.
    void fill(const float* x, std::int64_t index, float* to) const {
        const std::int64_t image = index / panels(shape.c),
                           first = index % panels(shape.c) * kPanel,
                           channels = std::min<std::int64_t>(kPanel, shape.c - first);
        for (std::int64_t i = 0; i < h; ++i) {
            const std::int64_t row = i - shape.pad;
            float* const line = to + i * w * kPanel;
            if (row < 0 || row >= shape.h) {
                std::fill_n(line, w * kPanel, 0.f);
                continue;
            }
            const std::int64_t left = std::min(shape.pad, w);
            const std::int64_t end = std::min(left + shape.w, w);
            std::fill_n(line, left * kPanel, 0.f);
            const float* from = x + ((image * shape.h + row) * shape.w) * shape.c + first;
            for (std::int64_t j = left; j < end; ++j, from += shape.c)
                for (int v = 0; v < kPanel; v += simd::kWidth)
                    simd::store(line + j * kPanel + v, simd::load_first(from + v, channels - v));
            std::fill_n(line + end * kPanel, (w - end) * kPanel, 0.f);
        }
    }
};

std::int64_t filter_panel_size(const ConvolutionShape& shape) {
    return shape.r * shape.s * shape.c * kPanel;
}

// Panel `panel` of 16 output channels of filter [K,R,S,C].
void pack_filter(const ConvolutionShape& shape, const float* filter, std::int64_t panel,
                 float* to) {
    const std::int64_t taps = shape.r * shape.s, first = panel * kPanel;
    const std::int64_t lanes = std::min<std::int64_t>(kPanel, shape.k - first);
    for (std::int64_t c0 = 0; c0 < shape.c; c0 += kPanel) {
        const std::int64_t channels = std::min<std::int64_t>(kPanel, shape.c - c0);
        for (std::int64_t tap = 0; tap < taps; ++tap)
            for (std::int64_t c = 0; c < channels; ++c, to += kPanel)
                for (std::int64_t k = 0; k < kPanel; ++k)
                    to[k] = k < lanes ? filter[((first + k) * taps + tap) * shape.c + c0 + c] : 0;
    }
}

template <class Body>
void with_constant(bool value, const Body& body) {
    if (value)
        body(std::true_type());
    else
        body(std::false_type());
}

// kRows x 4 outputs of 16 channels; `x` is the first tap of the first output in the first panel,
// which is at `row` and `column` of the image. A tap outside of the image is left out in the first
// and the last row and column of outputs: with an image of 4x4, these are a third of all products.
template <int Stride>
void multiply(const Padded& padded, const float* x, const float* filter, std::int64_t row,
              std::int64_t column, Vector (&sums)[kRows][kTile][kVectors]) {
    const ConvolutionShape& shape = padded.shape;
    const std::int64_t next_row = padded.w * kPanel * Stride;
    const auto add_tap = [&](const float* pixels, std::int64_t channels, auto above, auto below,
                             auto left, auto right) {
        const auto step = [&](const float* pixel) {
            Vector weights[kVectors];
            for (int v = 0; v < kVectors; ++v) weights[v] = simd::load(filter + v * simd::kWidth);
            for (int i = above; i < kRows - below; ++i)
                for (int j = left; j < kTile - right; ++j)
                    for (int v = 0; v < kVectors; ++v)
                        sums[i][j][v] += pixel[i * next_row + j * Stride * kPanel] * weights[v];
            filter += kPanel;
        };
        if (channels >= kPanel) {
#pragma GCC unroll 4
            for (int d = 0; d < kPanel; ++d) step(pixels + d);
        } else {
            for (int d = 0; d < channels; ++d) step(pixels + d);
        }
    };
    for (std::int64_t c = shape.c; c > 0; c -= kPanel, x += padded.panel_size())
        for (std::int64_t r = 0; r < shape.r; ++r)
            for (std::int64_t s = 0; s < shape.s; ++s) {
                const float* const pixels = x + (r * padded.w + s) * kPanel;
                const std::int64_t last_row = row + r + (kRows - 1) * Stride,
                                   last_column = column + s + (kTile - 1) * Stride;
                with_constant(row + r < 0, [&](auto above) {
                    with_constant(last_row >= shape.h, [&](auto below) {
                        with_constant(column + s < 0, [&](auto left) {
                            with_constant(last_column >= shape.w, [&](auto right) {
                                add_tap(pixels, c, above, below, left, right);
                            });
                        });
                    });
                });
            }
}

// The outputs of one tile for one panel of 16 output channels.
template <int Stride>
void compute_tile(const Padded& padded, const Tiles& tiles, std::int64_t tile, const float* images,
                  const float* filter, std::int64_t panel,
                  const ConvolutionEpilogue<float>& epilogue, float* y) {
    const ConvolutionShape& shape = padded.shape;
    const Tiles::Place place = tiles.place(tile);
    const std::int64_t left = place.column * kTile, k = panel * kPanel;
    const std::int64_t width = std::min<std::int64_t>(kTile, tiles.w - left);
    for (std::int64_t top = place.row * kTile; top < place.row * kTile + kTile; top += kRows) {
        if (top >= tiles.h) break;
        Vector sums[kRows][kTile][kVectors] = {};
        multiply<Stride>(
            padded,
            images + place.image * padded.image_size() + (top * padded.w + left) * Stride * kPanel,
            filter, top * Stride - shape.pad, left * Stride - shape.pad, sums);
        for (std::int64_t i = 0; i < std::min<std::int64_t>(kRows, tiles.h - top); ++i)
            for (std::int64_t j = 0; j < width; ++j) {
                const std::int64_t at =
                    ((place.image * tiles.h + top + i) * tiles.w + left + j) * shape.k + k;
                for (int v = 0; v < kVectors; ++v) {
                    const std::int64_t offset = v * simd::kWidth, lanes = shape.k - k - offset;
                    Vector value = sums[i][j][v];
                    if (epilogue.bias) value += simd::load_first(epilogue.bias + k + offset, lanes);
                    if (epilogue.residual)
                        value += simd::load_first(epilogue.residual + at + offset, lanes);
                    if (epilogue.relu) value = value > 0.f ? value : Vector{};
                    simd::store_first(y + at + offset, value, lanes);
                }
            }
    }
}

std::int64_t operations(const ConvolutionShape& s) {
    return 2 * s.n * s.out_h() * s.out_w() * s.k * s.r * s.s * s.c;
}

template <int Stride>
void compute(const ConvolutionShape& shape, const float* x, const float* filter, float* images,
             const ConvolutionEpilogue<float>& epilogue, float* y) {
    const Padded padded(shape);
    const Tiles tiles(shape.n, shape.out_h(), shape.out_w(), kTile);
    const int team = team_for(operations(shape));
    run_pieces(shape.n * panels(shape.c), team, [&](std::int64_t index, int) {
        padded.fill(x, index, images + index * padded.panel_size());
    });
    // A thread begins with consecutive panels of the filter.
    run_pieces(panels(shape.k) * tiles.count, team, [&](std::int64_t unit, int) {
        compute_tile<Stride>(padded, tiles, unit % tiles.count, images,
                             filter + unit / tiles.count * filter_panel_size(shape),
                             unit / tiles.count, epilogue, y);
    });
}

}  // namespace

bool applies(const ConvolutionShape& shape, std::int64_t winograd_tiles) {
    if (shape.stride > 2) return false;
    // Winograd reads up to four times as much filter, and computes a quarter for each tile.
    constexpr std::int64_t kFewStridedTiles = 6;
    if (winograd_tiles > 0) return winograd_tiles <= (shape.stride == 1 ? 1 : kFewStridedTiles);
    constexpr std::int64_t kSmall = 8 << 20;
    return shape.c >= kPanel && operations(shape) <= kSmall;
}

void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         FilterLayouts* layouts, const ConvolutionEpilogue<float>& epilogue,
                         float* y) {
    const std::int64_t filter_size = panels(shape.k) * filter_panel_size(shape);
    const auto pack = [&](float* to) {
        parallel_for(panels(shape.k), divide_up(1 << 16, filter_panel_size(shape)),
                     [&](std::int64_t panel, std::int64_t last) {
                         for (; panel < last; ++panel)
                             pack_filter(shape, filter, panel,
                                         to + panel * filter_panel_size(shape));
                     });
    };
    const float* packed =
        layouts ? layouts->find_or_make(FilterLayout::direct, filter_size, pack) : nullptr;
    const std::int64_t images_size = shape.n * Padded(shape).image_size();
    const Workspace workspace(static_cast<std::int64_t>(sizeof(float)) *
                              (images_size + (packed ? 0 : filter_size)));
    if (!packed) {
        pack(workspace.floats() + images_size);
        packed = workspace.floats() + images_size;
    }
    (shape.stride == 1 ? compute<1> : compute<2>)(shape, x, packed, workspace.floats(), epilogue,
                                                  y);
}

}  // namespace cnpd::kernels::direct
