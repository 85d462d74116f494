// A pixel of dy adds to S neighbouring pixels in a row of dx: S * C consecutive floats, 9 with
// three colours and 3x3 windows. For a row of dx,
//     part [column, S * C] = sum over r and k of dy[row + pad - r, column, k] filter[k, r, :, :]
// is computed in vectors of 16; a layout with the C channels in vectors would leave 13 of them
// empty. The parts of neighbouring columns overlap. They are written to several rows, in each of
// which they do not, and these are added up: adding to memory that was just written would wait for
// every store.
#include "kernels/convolution/few_channels.h"

#include "kernels/common/parallel.h"
#include "kernels/common/workspace.h"
#include "kernels/convolution/winograd_tiles.h"

namespace cnpd::kernels::few_channels {
namespace {

using simd::Vector;
using winograd::divide_up;
using winograd::kPanel;
using winograd::kVectors;

// Columns whose sums are in registers.
constexpr int kColumns = 8 / kVectors;

struct Sizes {
    const ConvolutionShape& shape;
    std::int64_t out_h = shape.out_h(), out_w = shape.out_w();
    std::int64_t rows = divide_up(kPanel, shape.c);  // to which parts are written
    // Of a row, from pad columns to the left of dx, with room behind the last part.
    std::int64_t row = divide_up((out_w + shape.s) * shape.c + kPanel, kPanel) * kPanel;

    std::int64_t packed_filter() const { return shape.r * shape.k * kPanel; }
};

// filter [K,R,S,C] -> [R,K,16]
void pack(const ConvolutionShape& shape, const float* filter, float* packed) {
    const std::int64_t size = shape.s * shape.c;
    for (std::int64_t r = 0; r < shape.r; ++r)
        for (std::int64_t k = 0; k < shape.k; ++k, packed += kPanel) {
            std::copy_n(filter + (k * shape.r + r) * size, size, packed);
            std::fill(packed + size, packed + kPanel, 0.f);
        }
}

// Rows r of the filter that reach row h of dx from a row of dy, which is h + pad - r.
struct Reach {
    std::int64_t first, last;

    Reach(const Sizes& sizes, std::int64_t h)
        : first(std::max<std::int64_t>(0, h + sizes.shape.pad - sizes.out_h + 1)),
          last(std::min(sizes.shape.r, h + sizes.shape.pad + 1)) {}
};

// The parts of `Columns` columns for row h of dx, of the image whose gradient is `dy`.
template <int Columns>
void compute_parts(const Sizes& sizes, const float* dy, std::int64_t h, std::int64_t column,
                   const float* packed, Vector (&sums)[Columns][kVectors]) {
    const std::int64_t k_count = sizes.shape.k;
    const Reach reach(sizes, h);
    for (std::int64_t r = reach.first; r < reach.last; ++r) {
        const float* const pixels =
            dy + ((h + sizes.shape.pad - r) * sizes.out_w + column) * k_count;
        const float* filter = packed + r * k_count * kPanel;
        for (std::int64_t k = 0; k < k_count; ++k, filter += kPanel) {
            Vector right[kVectors];
            for (int v = 0; v < kVectors; ++v) right[v] = simd::load(filter + v * simd::kWidth);
            for (int j = 0; j < Columns; ++j)
                for (int v = 0; v < kVectors; ++v) sums[j][v] += pixels[j * k_count + k] * right[v];
        }
    }
}

// Writes the parts from `column` on to their rows.
template <int Columns>
void write_parts(const Sizes& sizes, const float* dy, std::int64_t h, std::int64_t column,
                 const float* packed, float* rows) {
    Vector sums[Columns][kVectors] = {};
    compute_parts<Columns>(sizes, dy, h, column, packed, sums);
    for (int j = 0; j < Columns; ++j, ++column)
        for (int v = 0; v < kVectors; ++v)
            simd::store(
                rows + column % sizes.rows * sizes.row + column * sizes.shape.c + v * simd::kWidth,
                sums[j][v]);
}

// Row h of dx. The rows of parts are zero between the parts.
void compute_row(const Sizes& sizes, const float* dy, std::int64_t h, const float* packed,
                 float* rows, float* dx) {
    const ConvolutionShape& shape = sizes.shape;
    std::int64_t column = 0;
    for (; column + kColumns <= sizes.out_w; column += kColumns)
        write_parts<kColumns>(sizes, dy, h, column, packed, rows);
    for (; column < sizes.out_w; ++column) write_parts<1>(sizes, dy, h, column, packed, rows);
    const std::int64_t length = shape.w * shape.c;
    const float* const from = rows + shape.pad * shape.c;
    for (std::int64_t i = 0; i < length; i += simd::kWidth) {
        Vector sum = {};
        for (std::int64_t row = 0; row < sizes.rows; ++row)
            sum += simd::load_first(from + row * sizes.row + i, length - i);
        simd::store_first(dx + i, sum, length - i);
    }
}

}  // namespace

bool applies(const ConvolutionShape& shape) {
    constexpr std::int64_t kFew = 5;
    return shape.stride == 1 && shape.c <= kFew && shape.s * shape.c <= kPanel;
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx) {
    const Sizes sizes{.shape = shape};
    const std::int64_t images = shape.n, h = shape.h;
    const int team = team_for(2 * images * h * sizes.out_w * shape.r * shape.k * kPanel);
    const std::int64_t of_thread = sizes.rows * sizes.row;
    const Workspace workspace(static_cast<std::int64_t>(sizeof(float)) *
                              (sizes.packed_filter() + team * of_thread));
    float* const packed = workspace.floats();
    float* const rows = packed + sizes.packed_filter();
    pack(shape, filter, packed);
    std::fill_n(rows, team * of_thread, 0.f);
    run_pieces(images, team, [&](std::int64_t image, int thread) {
        for (std::int64_t row = 0; row < h; ++row)
            compute_row(sizes, dy + image * sizes.out_h * sizes.out_w * shape.k, row, packed,
                        rows + thread * of_thread, dx + (image * h + row) * shape.w * shape.c);
    });
}

}  // namespace cnpd::kernels::few_channels
