// Loops over [rows,C] with the same operation for all channels: how the host kernels of batch
// normalisation and of row sums access memory. Host only.
//
// A row with few channels is too short for vector instructions, and a row whose length is not a
// multiple of a vector ends in a scalar tail. Several such rows are processed together as one wide
// row, and the values of the channels are repeated to its width.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/common/parallel.h"

namespace cnpd::kernels {

// Elements below which another thread does not pay off.
constexpr std::int64_t kElementGrain = 16384;

class WideRows {
  public:
    // Wide rows have at least `width` elements.
    WideRows(std::int64_t rows, std::int64_t channels, std::int64_t width)
        : channels_(channels), elements_(rows * channels) {
        if (channels <= 0 || channels >= width) return;
        const std::int64_t step = kVector / std::gcd(channels, kVector);
        const std::int64_t needed = (width + channels - 1) / channels;
        repeat_ = (needed + step - 1) / step * step;
    }
    std::int64_t repeat() const { return repeat_; }
    std::int64_t channels() const { return channels_; }
    std::int64_t columns() const { return channels_ * repeat_; }
    std::int64_t elements() const { return elements_; }
    // Wide rows; the last one may be shorter, see length().
    std::int64_t count() const {
        return elements_ == 0 ? 0 : (elements_ + columns() - 1) / columns();
    }
    std::int64_t length(std::int64_t wide_row) const {
        return std::min(columns(), elements_ - wide_row * columns());
    }
    std::int64_t grain() const { return std::max<std::int64_t>(kElementGrain / columns(), 1); }
    // Number of parts, with separate sums, that a reduction is cut into; independent of the number
    // of threads. Adding up a part's sums costs as much as a few of its rows.
    std::int64_t parts() const {
        constexpr std::int64_t kFewestRows = 256;
        return std::clamp<std::int64_t>(count() / kFewestRows, 1, kMostParts);
    }

  private:
    static constexpr std::int64_t kVector = 16;
    std::int64_t channels_, elements_, repeat_ = 1;
};

// One value for each channel, repeated to the width of the wide rows.
class ChannelValues {
  public:
    ChannelValues(const float* values, const WideRows& rows) : data_(values) {
        if (values == nullptr || rows.repeat() == 1) return;
        repeated_.resize(rows.columns());
        for (std::int64_t c = 0; c < rows.columns(); ++c)
            repeated_[c] = values[c % rows.channels()];
        data_ = repeated_.data();
    }
    const float* data() const { return data_; }

  private:
    std::vector<float> repeated_;
    const float* data_;
};

// The width at which for_each_element() spends little time on the ends of rows.
constexpr std::int64_t kElementWidth = 256;

// body(i, c) for every element i of the rows, c its column in the wide row. Memory is accessed in
// order: alternating between rows, to load channel values once for several, halves the speed for
// data that does not fit a cache.
template <class Body>
void for_each_element(const WideRows& rows, const Body& body) {
    parallel_for(rows.count(), rows.grain(), [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
            const std::int64_t i = row * rows.columns(), length = rows.length(row);
#pragma omp simd
            for (std::int64_t c = 0; c < length; ++c) body(i + c, c);
        }
    });
}

// For sums: the width at which the eight rows of add_terms() fit the L1 cache, and the number of
// wide rows summed in float before the sums are added up in double.
constexpr std::int64_t kSumWidth = 64;
constexpr std::int64_t kChunk = 512;

// Adds term(i, c, s, t) (which adds to the floats s and t) over the wide rows [first, last) to
// sums_s and sums_t [columns]; `inputs` are the buffers that it reads at i, or null. Eight rows are
// added to each other first, which is more accurate, and reads and writes a sum once for eight
// elements. Prefetches in software, because the hardware prefetcher does not follow eight
// alternating rows.
template <class Term>
void add_terms(const WideRows& rows, std::int64_t first, std::int64_t last,
               const std::array<const float*, 2>& inputs, const Term& term, float* sums_s,
               float* sums_t) {
    constexpr std::int64_t kGroup = 8, kLine = 16;
    const std::int64_t columns = rows.columns();
    const std::int64_t full = rows.elements() / columns;  // the row from here on is shorter
    std::int64_t row = first;
    for (; row + kGroup <= std::min(last, full); row += kGroup) {
        const std::int64_t i = row * columns;
        const std::int64_t ahead = i + 4 * kGroup * columns;
        if (row + 5 * kGroup <= full)
            for (const float* input : inputs)
                for (std::int64_t k = 0; input && k < kGroup * columns; k += kLine)
                    __builtin_prefetch(input + ahead + k, 0, 2);
#pragma omp simd
        for (std::int64_t c = 0; c < columns; ++c) {
            float s = 0, t = 0;
#pragma GCC unroll 8
            for (std::int64_t k = 0; k < kGroup; ++k) term(i + k * columns + c, c, s, t);
            sums_s[c] += s;
            sums_t[c] += t;
        }
    }
    for (; row < last; ++row) {
        const std::int64_t i = row * columns, length = rows.length(row);
#pragma omp simd
        for (std::int64_t c = 0; c < length; ++c) {
            float s = 0, t = 0;
            term(i + c, c, s, t);
            sums_s[c] += s;
            sums_t[c] += t;
        }
    }
}

}  // namespace cnpd::kernels
