// Cuts a convolution's batch into pieces. Private to kernels/vendor/onednn*.cpp.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/convolution/convolution.h"

namespace cnpd::kernels {

// At most eight pieces, each with about `rows` output pixels or more: their number follows from the
// shape alone. They differ by at most one image, and the last one is one of the largest.
struct BatchCut {
    ConvolutionShape shape;
    std::int64_t pieces;

    BatchCut(const ConvolutionShape& whole, std::int64_t rows)
        : shape(whole),
          pieces(std::clamp<std::int64_t>(whole.n * whole.out_h() * whole.out_w() / rows, 1,
                                          std::clamp<std::int64_t>(whole.n, 1, kMost))) {}

    // The first image.
    std::int64_t first(std::int64_t piece) const { return shape.n * piece / pieces; }
    ConvolutionShape of(std::int64_t piece) const {
        ConvolutionShape part = shape;
        part.n = first(piece + 1) - first(piece);
        return part;
    }
    bool is_larger(std::int64_t piece) const { return of(piece).n != of(0).n; }
    // Offset of a piece in x [N,H,W,C] and in y [N,OH,OW,K].
    std::int64_t x(std::int64_t piece) const { return first(piece) * shape.h * shape.w * shape.c; }
    std::int64_t y(std::int64_t piece) const {
        return first(piece) * shape.out_h() * shape.out_w() * shape.k;
    }

  private:
    static constexpr std::int64_t kMost = 8;
};

}  // namespace cnpd::kernels
