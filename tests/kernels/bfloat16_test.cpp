#include "kernels/common/bfloat16.h"

#include <cmath>

#include "tests/support/compare.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

TEST_CASE("bfloat16: all values are unchanged by conversion to float32 and back") {
    for (int bits = 0; bits < 0x10000; ++bits) {
        const auto value = bfloat16::from_bits(static_cast<std::uint16_t>(bits));
        const bfloat16 back(static_cast<float>(value));
        if (std::isnan(static_cast<float>(value)))
            CHECK(back.bits == 0x7FFF);
        else
            CHECK(back.bits == bits);
    }
}

TEST_CASE("bfloat16: rounds to nearest, ties to even") {
    const auto rounded = [](float value) { return static_cast<float>(bfloat16(value)); };
    CHECK(rounded(1.0f) == 1.0f);
    CHECK(rounded(0x1.01p0f) == 1.0f);         // half way, 1 is even
    CHECK(rounded(0x1.03p0f) == 0x1.04p0f);    // half way, 0x1.02 is odd
    CHECK(rounded(0x1.0101p0f) == 0x1.02p0f);  // more than half
    CHECK(rounded(-0x1.0101p0f) == -0x1.02p0f);
    CHECK(rounded(0x1.FFp127f) == std::numeric_limits<float>::infinity());
    CHECK(rounded(0x1.FEp127f) == 0x1.FEp127f);
    CHECK(rounded(-0.0f) == 0.0f);
    CHECK(std::signbit(rounded(-0.0f)));
    CHECK(rounded(0x1p-133f) == 0x1p-133f);  // the smallest one
    CHECK(rounded(0x1p-134f) == 0);
    CHECK(std::isnan(rounded(std::nanf(""))));
    static_assert(bfloat16(1.5f).bits == 0x3FC0);
}

TEST_CASE("bfloat16: the result is the nearest value") {
    for (const float value : random_values(10'000, 3)) {
        const bfloat16 result(value);
        const double error = std::fabs(double{result} - double{value});
        CHECK(error <= kBfloat16Rounding * std::fabs(value));
        for (const int step : {-1, 1}) {
            const auto other = bfloat16::from_bits(static_cast<std::uint16_t>(result.bits + step));
            CHECK(error <= std::fabs(double{other} - double{value}));
        }
    }
}

TEST_CASE("bfloat16: numeric limits") {
    using Limits = std::numeric_limits<bfloat16>;
    CHECK(float{Limits::max()} == 0x1.FEp127f);
    CHECK(float{Limits::lowest()} == -0x1.FEp127f);
    CHECK(float{Limits::min()} == 0x1p-126f);
    CHECK(float{Limits::epsilon()} == 2 * kBfloat16Rounding);
    CHECK(std::isinf(float{Limits::infinity()}));
    CHECK(std::isnan(float{Limits::quiet_NaN()}));
}
