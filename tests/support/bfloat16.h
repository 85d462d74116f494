// Compares kernels of activations in bfloat16 with the reference. Inputs are exact in bfloat16, so
// the result differs from the float32 reference only by the rounding of sums in float32, as in the
// tests of each kernel, and by the rounding of the result to bfloat16.
#pragma once

#include <cmath>

#include "kernels/common/bfloat16.h"
#include "tests/support/backends.h"

namespace cnpd::tests {

using kernels::bfloat16;

// The same numbers in both types.
struct Values {
    std::vector<bfloat16> stored;
    std::vector<float> exact;

    explicit Values(const std::vector<float>& values) {
        for (const float value : values) {
            stored.emplace_back(value);
            exact.push_back(stored.back());
        }
    }
    std::int64_t size() const { return static_cast<std::int64_t>(exact.size()); }
};
inline Values random(std::int64_t count, float scale = 1, float shift = 0) {
    return Values(random_values(count, scale, shift));
}
// Their sums are exact in float32.
inline Values random_integers(std::int64_t count) {
    std::vector<float> values = random_values(count, 4);
    for (float& value : values) value = std::round(value);
    return Values(values);
}

// `atol` is the error of the sums.
inline void check_rounded(const Guarded<bfloat16>& actual, const std::vector<float>& expected,
                          double atol, const char* what) {
    check_close(actual, expected, 1.001 * kernels::kBfloat16Rounding, atol, what);
    CHECK(actual.intact());
}

}  // namespace cnpd::tests
