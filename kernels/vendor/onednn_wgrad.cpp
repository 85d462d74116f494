// The gradient of a filter by oneDNN, on all threads. Cut by sizes alone, because the bits of
// oneDNN's sum over the batch depend on its number of threads.
#include <algorithm>

#include "kernels/common/parallel.h"
#include "kernels/common/workspace.h"
#include "kernels/convolution/batch_cut.h"
#include "kernels/vendor/onednn.h"

namespace cnpd::kernels::onednn {
namespace {

constexpr auto kFloat = static_cast<std::int64_t>(sizeof(float));
constexpr std::int64_t kVector = 16;

// oneDNN 2.6 writes beyond its scratchpad, and may compute a wrong gradient, in the filter gradient
// of a 1x1 convolution with a stride whose channels do not fill a vector.
bool overruns_scratchpad(const ConvolutionShape& shape) {
    return shape.r == 1 && shape.s == 1 && shape.pad == 0 && shape.stride > 1 &&
           shape.c % kVector != 0;
}

// The pixels that a 1x1 convolution with a stride reads: [N,H,W,C] to [N,OH,OW,C].
void gather_strided(const ConvolutionShape& shape, const float* x, float* gathered) {
    const std::int64_t out_h = shape.out_h(), out_w = shape.out_w();
    parallel_for(shape.n * out_h, 16, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
            const std::int64_t in_row = row / out_h * shape.h + row % out_h * shape.stride;
            for (std::int64_t column = 0; column < out_w; ++column)
                std::copy_n(x + (in_row * shape.w + column * shape.stride) * shape.c, shape.c,
                            gathered + (row * out_w + column) * shape.c);
        }
    });
}

// A whole number of cache lines.
std::int64_t rounded(std::int64_t floats) {
    return (floats + kVector - 1) / kVector * kVector;
}

std::int64_t filter_size(const ConvolutionShape& shape) {
    return shape.k * shape.r * shape.s * shape.c;
}

// The pieces of a batch have separate gradients, which are added up in order.
void by_batch(const BatchCut& cut, const float* x, const float* dy, float* dfilter) {
    const std::int64_t size = filter_size(cut.shape), stride = rounded(size);
    const std::int64_t scratch_bytes =
        std::max(wgrad_scratch_bytes(cut.of(0)), wgrad_scratch_bytes(cut.of(cut.pieces - 1)));
    const Workspace workspace(cut.pieces * stride * kFloat + team_size(cut.pieces) * scratch_bytes);
    float* const gradients = workspace.floats();
    char* const scratch = reinterpret_cast<char*>(gradients + cut.pieces * stride);
    for_each_piece(cut.pieces, [&](std::int64_t piece, int thread) {
        wgrad_on_one_thread(cut.of(piece), x + cut.x(piece), dy + cut.y(piece),
                            gradients + piece * stride, scratch + thread * scratch_bytes);
    });
    parallel_for(size, 4096, [&](std::int64_t first, std::int64_t last) {
        std::copy(gradients + first, gradients + last, dfilter + first);
        for (std::int64_t piece = 1; piece < cut.pieces; ++piece) {
            const float* __restrict from = gradients + piece * stride;
#pragma omp simd
            for (std::int64_t i = first; i < last; ++i) dfilter[i] += from[i];
        }
    });
}

// For few pixels and a large filter: a piece is a range of output channels, whose dy is gathered.
//
void by_channels(const ConvolutionShape& shape, const float* x, const float* dy, float* dfilter) {
    constexpr std::int64_t kFewest = 32, kMost = 8;
    const std::int64_t pieces = std::clamp<std::int64_t>(shape.k / kFewest, 1, kMost);
    const auto begin = [&](std::int64_t piece) {
        return piece == pieces ? shape.k : shape.k * piece / pieces / kVector * kVector;
    };
    const auto part = [&](std::int64_t piece) {
        ConvolutionShape narrow = shape;
        narrow.k = begin(piece + 1) - begin(piece);
        return narrow;
    };
    const std::int64_t rows = shape.n * shape.out_h() * shape.out_w();
    std::int64_t scratch_bytes = 0, widest = 0;
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
        scratch_bytes = std::max(scratch_bytes, wgrad_scratch_bytes(part(piece)));
        widest = std::max(widest, part(piece).k);
    }
    const std::int64_t columns_bytes = pieces == 1 ? 0 : rounded(rows * widest) * kFloat;
    const Workspace workspace(team_size(pieces) * (columns_bytes + scratch_bytes));
    for_each_piece(pieces, [&](std::int64_t piece, int thread) {
        char* const room =
            static_cast<char*>(workspace.data()) + thread * (columns_bytes + scratch_bytes);
        const ConvolutionShape own = part(piece);
        const float* columns = dy;
        if (pieces > 1) {
            float* const gathered = reinterpret_cast<float*>(room);
            for (std::int64_t row = 0; row < rows; ++row)
                std::copy_n(dy + row * shape.k + begin(piece), own.k, gathered + row * own.k);
            columns = gathered;
        }
        wgrad_on_one_thread(own, x, columns, dfilter + begin(piece) * filter_size(shape) / shape.k,
                            room + columns_bytes);
    });
}

}  // namespace

void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter) {
    if (overruns_scratchpad(shape)) {
        ConvolutionShape dense = shape;
        dense.h = shape.out_h();
        dense.w = shape.out_w();
        dense.stride = 1;
        const Workspace gathered(dense.n * dense.h * dense.w * dense.c * kFloat);
        gather_strided(shape, x, gathered.floats());
        return convolution_wgrad(dense, gathered.floats(), dy, dfilter);
    }
    // With fewer rows per piece, adding up the pieces' gradients costs too much.
    //
    constexpr std::int64_t kRows = 512, kFewestPieces = 4;
    const BatchCut cut(shape, kRows);
    if (cut.pieces >= kFewestPieces)
        by_batch(cut, x, dy, dfilter);
    else
        by_channels(shape, x, dy, dfilter);
}

}  // namespace cnpd::kernels::onednn
