// Compares buffers with a reference; output buffers that detect writes outside of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

namespace cnpd::tests {

// An output buffer: filled with NaN (or the pattern 0xAB), with guards before and after.
template <class T>
class Guarded {
  public:
    // With an offset: a view of its storage that is not aligned for wide accesses.
    explicit Guarded(std::int64_t count, std::int64_t offset = 0)
        : count_(count), offset_(offset), storage_(count + offset + 2 * kGuard) {
        std::memset(static_cast<void*>(storage_.data()), 0xAB, storage_.size() * sizeof(T));
        if constexpr (std::numeric_limits<T>::has_quiet_NaN)
            std::fill_n(data(), count, std::numeric_limits<T>::quiet_NaN());
    }
    // Also for inputs: a copy of `values` between guards.
    explicit Guarded(const std::vector<T>& values, std::int64_t offset = 0)
        : Guarded(static_cast<std::int64_t>(values.size()), offset) {
        std::copy(values.begin(), values.end(), data());
    }
    T* data() { return storage_.data() + kGuard + offset_; }
    const T* data() const { return storage_.data() + kGuard + offset_; }
    std::int64_t size() const { return count_; }
    T& operator[](std::int64_t i) { return data()[i]; }
    const T& operator[](std::int64_t i) const { return data()[i]; }
    // Including the guards.
    const std::vector<T>& storage() const { return storage_; }
    // False if memory outside of the buffer has been written.
    bool intact() const {
        std::vector<T> guard(kGuard + offset_);
        std::memset(static_cast<void*>(guard.data()), 0xAB, guard.size() * sizeof(T));
        return !std::memcmp(storage_.data(), guard.data(), guard.size() * sizeof(T)) &&
               !std::memcmp(data() + count_, guard.data(), kGuard * sizeof(T));
    }

  private:
    static constexpr std::int64_t kGuard = 64;
    std::int64_t count_, offset_;
    std::vector<T> storage_;
};

// New normal numbers; every call continues the same sequence.
inline std::vector<float> random_values(std::int64_t count, float scale = 1, float shift = 0) {
    static std::mt19937 generator(20251122);
    std::normal_distribution<float> normal(shift, scale);
    std::vector<float> values(count);
    for (float& value : values) value = normal(generator);
    return values;
}

inline std::vector<std::int32_t> random_labels(std::int64_t count, std::int32_t classes) {
    static std::mt19937 generator(77);
    std::uniform_int_distribution<std::int32_t> uniform(0, classes - 1);
    std::vector<std::int32_t> values(count);
    for (auto& value : values) value = uniform(generator);
    return values;
}

// actual - expected| <= atol + rtol |expected| for every element; NaN fails. Reports the worst
// element.
template <class Actual, class Expected>
void check_close(const Actual& actual, const Expected& expected, double rtol, double atol,
                 const char* what = "") {
    REQUIRE(static_cast<std::int64_t>(actual.size()) == static_cast<std::int64_t>(expected.size()));
    double worst = 0;
    std::int64_t where = -1;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(expected.size()); ++i) {
        const double a = actual[i], e = expected[i];
        const double excess = a == e ? 0 : std::fabs(a - e) / (atol + rtol * std::fabs(e));
        if (!(excess <= 1) && (where < 0 || !(excess <= worst))) {
            worst = excess;
            where = i;
        }
    }
    if (where >= 0)
        FAIL_CHECK(
            fmt::format("{}: element {} of {} is {}, expected {} ({:.3g} times the tolerance)",
                        what, where, expected.size(), static_cast<double>(actual[where]),
                        static_cast<double>(expected[where]), worst));
}

// |actual - expected|_2 / |expected|_2
template <class Actual, class Expected>
double relative_l2_error(const Actual& actual, const Expected& expected) {
    double difference = 0, norm = 0;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(expected.size()); ++i) {
        const double a = actual[i], e = expected[i];
        difference += (a - e) * (a - e);
        norm += e * e;
    }
    return std::sqrt(difference / std::max(norm, 1e-300));
}

// Compares with central differences of `loss`, which reads `values`, with steps of `step`. A float
// loss has an error of about 1e-7 divided by the step, plus the third derivative's term, about the
// step's square.
template <class Gradient, class Loss>
void check_slopes(std::vector<float>& values, const Gradient& gradient, const Loss& loss,
                  float step, double tolerance) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        const float value = values[i];
        values[i] = value + step;
        const double above = loss();
        values[i] = value - step;
        const double width = double{value + step} - values[i];
        const double slope = (above - loss()) / width;
        values[i] = value;
        CHECK(gradient[static_cast<std::int64_t>(i)] ==
              doctest::Approx(slope).epsilon(tolerance).scale(1));
    }
}

}  // namespace cnpd::tests
