// Loops over [rows,C] that treat every channel alike: how the host kernels of batch normalisation
// and of row sums walk through memory. Host only.
//
// A row of few channels is too short for vector instructions, and one whose length is no multiple
// of a vector ends in a scalar tail. Such rows are taken several at a time as one wide row, and
// the values that belong to channels are repeated to its width.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/common/parallel.h"

namespace cnpd::kernels {

// Elements below which a thread of its own does not pay.
constexpr std::int64_t kElementGrain = 16384;

class WideRows {
  public:
    WideRows(std::int64_t rows, std::int64_t channels)
        : channels_(channels), elements_(rows * channels) {
        if (channels <= 0 || channels >= kWide) return;
        const std::int64_t step = kVector / std::gcd(channels, kVector);
        const std::int64_t needed = (kWide + channels - 1) / channels;
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
    // How many parts, each with sums of its own, a reduction is cut into.
    std::int64_t parts() const {
        return std::clamp<std::int64_t>(count() / grain(), 1, thread_count());
    }

  private:
    static constexpr std::int64_t kWide = 64, kVector = 16;
    std::int64_t channels_, elements_, repeat_ = 1;
};

// One value for each channel, at the width of the wide rows.
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

// body(i, c) for every element i of x.data[i], c its column in the wide row. Rows are taken four at
// a time, so that what `body` reads for a column is loaded once for four elements.
template <class Body>
void for_each_element(const WideRows& rows, const Body& body) {
    const std::int64_t columns = rows.columns();
    parallel_for(rows.count(), rows.grain(), [&](std::int64_t first, std::int64_t last) {
        std::int64_t row = first;
        const std::int64_t full = rows.elements() / columns;  // the row from here on is shorter
        for (; row + 4 <= std::min(last, full); row += 4) {
            const std::int64_t i = row * columns;
#pragma omp simd
            for (std::int64_t c = 0; c < columns; ++c) {
                body(i + c, c);
                body(i + columns + c, c);
                body(i + 2 * columns + c, c);
                body(i + 3 * columns + c, c);
            }
        }
        for (; row < last; ++row) {
            const std::int64_t i = row * columns, length = rows.length(row);
#pragma omp simd
            for (std::int64_t c = 0; c < length; ++c) body(i + c, c);
        }
    });
}

// Wide rows summed in float before the sums are added up in double.
constexpr std::int64_t kChunk = 512;

// Adds term(i, c, s, t) (which adds to the floats s and t) over the wide rows [first, last) to
// sums_s and sums_t [columns]. Eight rows are added to each other first: that is a tree, which is
// more accurate, and a sum is read and written once for eight elements.
template <class Term>
void add_terms(const WideRows& rows, std::int64_t first, std::int64_t last, const Term& term,
               float* sums_s, float* sums_t) {
    const std::int64_t columns = rows.columns();
    const std::int64_t full = std::min(last, rows.elements() / columns);
    std::int64_t row = first;
    for (; row + 8 <= full; row += 8) {
        const std::int64_t i = row * columns;
#pragma omp simd
        for (std::int64_t c = 0; c < columns; ++c) {
            float s = 0, t = 0;
#pragma GCC unroll 8
            for (std::int64_t k = 0; k < 8; ++k) term(i + k * columns + c, c, s, t);
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
