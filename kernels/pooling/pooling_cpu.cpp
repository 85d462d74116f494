#include <algorithm>

#include "kernels/common/channel_rows.h"
#include "kernels/pooling/pooling.h"

namespace cnpd::kernels::cpu {
namespace {

struct Range {
    std::int64_t first, last;
};

// The part of a window inside the image: `out` is the window, `size` the image's.
Range window_range(std::int64_t out, std::int64_t window, const PoolingShape& s,
                   std::int64_t size) {
    const std::int64_t start = out * s.stride - s.pad;
    return {std::max<std::int64_t>(start, 0), std::min(start + window, size)};
}

// The windows that contain position `in`.
Range windows_over(std::int64_t in, std::int64_t window, const PoolingShape& s,
                   std::int64_t out_size) {
    const std::int64_t reach = in + s.pad;
    const std::int64_t first = reach < window ? 0 : (reach - window) / s.stride + 1;
    return {first, std::min(reach / s.stride + 1, out_size)};
}

bool is_global(const PoolingShape& s) {
    return s.window_h == s.h && s.window_w == s.w && s.pad == 0;
}

// body(image row, n, h) over the rows of all images, in parallel; `elements` is one row's work.
template <class Body>
void for_each_image_row(std::int64_t n, std::int64_t h, std::int64_t elements, const Body& body) {
    const std::int64_t grain = kElementGrain / std::max<std::int64_t>(elements, 1) + 1;
    parallel_for(n * h, grain, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) body(row, row / h, row % h);
    });
}

// y [C] = factor * sums over the rows of x [rows,C]
void sum_pixels(const float* __restrict x, std::int64_t rows, std::int64_t channels, float factor,
                float* __restrict y) {
    std::fill_n(y, channels, 0.0f);
    std::int64_t r = 0;
    for (; r + 4 <= rows; r += 4, x += 4 * channels)
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c)
            y[c] += (x[c] + x[channels + c]) + (x[2 * channels + c] + x[3 * channels + c]);
    for (; r < rows; ++r, x += channels)
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c) y[c] += x[c];
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) y[c] *= factor;
}

struct Largest {
    float value;
    std::int32_t position;
    void meet(float other, std::int32_t other_position) {
        const bool take = (other > value) | (other != other);
        value = take ? other : value;
        position = take ? other_position : position;
    }
};

// A window of 2x2 whose first pixel is x [C], at `start` of an image that is `w` wide.
void largest_of_four(const float* __restrict x, std::int32_t start, std::int64_t w,
                     std::int64_t channels, float* __restrict best,
                     std::int32_t* __restrict where) {
    const auto below = static_cast<std::int32_t>(start + w);
    const float* __restrict row = x + w * channels;
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
        Largest largest{x[c], start};
        largest.meet(x[channels + c], start + 1);
        largest.meet(row[c], below);
        largest.meet(row[channels + c], below + 1);
        best[c] = largest.value;
        where[c] = largest.position;
    }
}

}  // namespace

void average_pool_forward(const PoolingShape& shape, const float* x, float* y) {
    const PoolingShape s = shape;
    const std::int64_t out_h = s.out_h(), out_w = s.out_w();
    const float factor = 1.0f / static_cast<float>(s.window_h * s.window_w);
    if (is_global(s)) {
        for_each_image_row(s.n, 1, s.h * s.w * s.c, [=](std::int64_t, std::int64_t n, auto) {
            sum_pixels(x + n * s.h * s.w * s.c, s.h * s.w, s.c, factor, y + n * s.c);
        });
        return;
    }
    const std::int64_t work = out_w * s.window_h * s.window_w * s.c;
    for_each_image_row(s.n, out_h, work, [=](std::int64_t row, std::int64_t n, std::int64_t oh) {
        const Range hs = window_range(oh, s.window_h, s, s.h);
        for (std::int64_t ow = 0; ow < out_w; ++ow) {
            const Range ws = window_range(ow, s.window_w, s, s.w);
            float* __restrict out = y + (row * out_w + ow) * s.c;
            std::fill_n(out, s.c, 0.0f);
            for (std::int64_t h = hs.first; h < hs.last; ++h)
                for (std::int64_t w = ws.first; w < ws.last; ++w) {
                    const float* __restrict in = x + ((n * s.h + h) * s.w + w) * s.c;
#pragma omp simd
                    for (std::int64_t c = 0; c < s.c; ++c) out[c] += in[c];
                }
#pragma omp simd
            for (std::int64_t c = 0; c < s.c; ++c) out[c] *= factor;
        }
    });
}

void average_pool_backward(const PoolingShape& shape, const float* dy, float* dx) {
    const PoolingShape s = shape;
    const std::int64_t out_h = s.out_h(), out_w = s.out_w();
    const float factor = 1.0f / static_cast<float>(s.window_h * s.window_w);
    // Each input gathers from its windows, so that dx is written once and by one thread.
    for_each_image_row(s.n, s.h, s.w * s.c, [=](std::int64_t row, std::int64_t n, std::int64_t h) {
        const Range ohs = windows_over(h, s.window_h, s, out_h);
        for (std::int64_t w = 0; w < s.w; ++w) {
            const Range ows = windows_over(w, s.window_w, s, out_w);
            float* __restrict in = dx + (row * s.w + w) * s.c;
            if (ohs.last - ohs.first == 1 && ows.last - ows.first == 1) {
                const float* __restrict out =
                    dy + ((n * out_h + ohs.first) * out_w + ows.first) * s.c;
#pragma omp simd
                for (std::int64_t c = 0; c < s.c; ++c) in[c] = out[c] * factor;
                continue;
            }
            std::fill_n(in, s.c, 0.0f);
            for (std::int64_t oh = ohs.first; oh < ohs.last; ++oh)
                for (std::int64_t ow = ows.first; ow < ows.last; ++ow) {
                    const float* __restrict out = dy + ((n * out_h + oh) * out_w + ow) * s.c;
#pragma omp simd
                    for (std::int64_t c = 0; c < s.c; ++c) in[c] += out[c];
                }
#pragma omp simd
            for (std::int64_t c = 0; c < s.c; ++c) in[c] *= factor;
        }
    });
}

void global_average_pool_forward(const PoolingShape& shape, const float* x, float* y) {
    average_pool_forward(shape, x, y);
}

void global_average_pool_backward(const PoolingShape& shape, const float* dy, float* dx) {
    average_pool_backward(shape, dy, dx);
}

void max_pool_forward(const PoolingShape& shape, const float* x, float* y, std::int32_t* argmax) {
    const PoolingShape s = shape;
    const std::int64_t out_h = s.out_h(), out_w = s.out_w();
    const std::int64_t work = out_w * s.window_h * s.window_w * s.c;
    for_each_image_row(s.n, out_h, work, [=](std::int64_t row, std::int64_t n, std::int64_t oh) {
        const Range hs = window_range(oh, s.window_h, s, s.h);
        for (std::int64_t ow = 0; ow < out_w; ++ow) {
            const Range ws = window_range(ow, s.window_w, s, s.w);
            float* __restrict best = y + (row * out_w + ow) * s.c;
            std::int32_t* __restrict where = argmax + (row * out_w + ow) * s.c;
            const auto start = static_cast<std::int32_t>(hs.first * s.w + ws.first);
            if (s.window_h == 2 && s.window_w == 2 && s.pad == 0) {
                largest_of_four(x + (n * s.h * s.w + start) * s.c, start, s.w, s.c, best, where);
                continue;
            }
            std::copy_n(x + (n * s.h * s.w + start) * s.c, s.c, best);
            std::fill_n(where, s.c, start);
            for (std::int64_t h = hs.first; h < hs.last; ++h)
                for (std::int64_t w = ws.first; w < ws.last; ++w) {
                    const auto position = static_cast<std::int32_t>(h * s.w + w);
                    const float* __restrict in = x + (n * s.h * s.w + position) * s.c;
#pragma omp simd
                    for (std::int64_t c = 0; c < s.c; ++c) {
                        Largest largest{best[c], where[c]};
                        largest.meet(in[c], position);
                        best[c] = largest.value;
                        where[c] = largest.position;
                    }
                }
        }
    });
}

void max_pool_backward(const PoolingShape& shape, const float* dy, const std::int32_t* argmax,
                       float* dx) {
    const PoolingShape s = shape;
    const std::int64_t out_h = s.out_h(), out_w = s.out_w();
    // As above: a scatter to argmax would not vectorise.
    for_each_image_row(s.n, s.h, s.w * s.c, [=](std::int64_t row, std::int64_t n, std::int64_t h) {
        const Range ohs = windows_over(h, s.window_h, s, out_h);
        for (std::int64_t w = 0; w < s.w; ++w) {
            const Range ows = windows_over(w, s.window_w, s, out_w);
            const auto position = static_cast<std::int32_t>(h * s.w + w);
            float* __restrict in = dx + (row * s.w + w) * s.c;
            std::fill_n(in, s.c, 0.0f);
            for (std::int64_t oh = ohs.first; oh < ohs.last; ++oh)
                for (std::int64_t ow = ows.first; ow < ows.last; ++ow) {
                    const std::int64_t at = ((n * out_h + oh) * out_w + ow) * s.c;
                    const float* __restrict out = dy + at;
                    const std::int32_t* __restrict where = argmax + at;
#pragma omp simd
                    for (std::int64_t c = 0; c < s.c; ++c) {
                        const float gradient = out[c];
                        in[c] += where[c] == position ? gradient : 0.0f;
                    }
                }
        }
    });
}

}  // namespace cnpd::kernels::cpu
