// Rows of logits, a warp for each: data sets have few classes, so a row's maximum and sum need only
// shuffles and no barrier.
#pragma once

#include "kernels/common/grid.h"
#include "kernels/common/vector_access.h"
#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels {

constexpr int kWarp = 32;

__device__ inline int lane() {
    return threadIdx.x % kWarp;
}

// for (std::int64_t r = first_warp(); r < rows; r += warps_at_once())
__device__ inline std::int64_t first_warp() {
    return first_element() / kWarp;
}
__device__ inline std::int64_t warps_at_once() {
    return elements_at_once() / kWarp;
}

// body(k, value of class k) for each of this lane's classes.
template <int Width, typename Body>
__device__ void for_classes_of_lane(const float* row, std::int64_t classes, const Body& body) {
    for (std::int64_t k = lane() * Width; k < classes; k += kWarp * Width) {
        const auto values = load<Width>(row + k);
        for (int i = 0; i < Width; ++i) body(k + i, values.of[i]);
    }
}

// A NaN makes the sum of exponentials NaN, whether or not it is found here.
template <int Width>
__device__ float largest(const float* row, std::int64_t classes) {
    float maximum = -INFINITY;
    for_classes_of_lane<Width>(
        row, classes, [&](std::int64_t, float logit) { maximum = Maximum{}(logit, maximum); });
    return warp_reduce(maximum, Maximum{});
}

// Each lane sums few terms, in float; the sum over the row is double.
template <int Width>
__device__ double sum_of_exponentials(const float* row, std::int64_t classes, float maximum) {
    float sum = 0;
    for_classes_of_lane<Width>(row, classes,
                               [&](std::int64_t, float logit) { sum += expf(logit - maximum); });
    return warp_sum(static_cast<double>(sum));
}

// to[k] = value(k, from[k]); they may be the same row.
template <int Width, typename Value>
__device__ void transform_row(const float* from, std::int64_t classes, float* to,
                              const Value& value) {
    for (std::int64_t k = lane() * Width; k < classes; k += kWarp * Width) {
        auto values = load<Width>(from + k);
        for (int i = 0; i < Width; ++i) values.of[i] = value(k + i, values.of[i]);
        store(to + k, values);
    }
}

// Maps a logit and its class to a number with the order of (logit, earlier class); NaN is the
// largest and -0 equals 0. Never returns 0.
__device__ inline std::uint64_t rank(float logit, std::int64_t k) {
    const std::uint32_t bits = __float_as_uint(logit + 0.0f);
    const std::uint32_t sign = 0x80000000u;
    const std::uint32_t ordered = isnan(logit) ? 0xFFFFFFFFu : (bits & sign ? ~bits : bits | sign);
    return std::uint64_t{ordered} << 32 | (0xFFFFFFFFu - static_cast<std::uint32_t>(k));
}

// The class of the largest logit, excluding one class if that is not negative.
template <int Width>
__device__ std::int32_t argmax_of_row(const float* row, std::int64_t classes,
                                      std::int32_t except = -1) {
    std::uint64_t best = 0;
    for_classes_of_lane<Width>(row, classes, [&](std::int64_t k, float logit) {
        if (k != except) best = Maximum{}(best, rank(logit, k));
    });
    best = warp_reduce(best, Maximum{});
    return static_cast<std::int32_t>(0xFFFFFFFFu - static_cast<std::uint32_t>(best));
}

template <typename... Parameters, typename... Arguments>
void launch_rows(const char* name, std::int64_t rows, void (*kernel)(Parameters...),
                 Arguments... arguments) {
    if (rows > 0) launch(elements_shape(name, rows * kWarp), kernel, arguments...);
}

}  // namespace cnpd::kernels
