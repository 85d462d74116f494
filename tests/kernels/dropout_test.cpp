#include "kernels/dropout/dropout.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {
const std::vector<DropoutDraw> kDraw = {{.seed = 7, .step = (std::int64_t{1} << 33) + 5}};
}

TEST_CASE("dropout equals the reference") {
    for (const std::int64_t count : {0, 1, 3, 4, 5, 1027, 10'000})
        for (const float probability : {0.0f, 0.1f, 0.5f, 0.999f}) {
            CAPTURE(count);
            CAPTURE(probability);
            const auto x = random_values(count);
            Guarded<float> expected(count);
            reference::dropout(probability, x.data(), count, kDraw.data(), expected.data());
            for (const auto& run : CNPD_IMPLEMENTATIONS(dropout)) {
                INFO(run.backend);
                // With an offset of one: no vectors.
                for (const std::int64_t offset : {0, 1}) {
                    Guarded<float> y(count, offset);
                    run(probability, x, count, kDraw, y);
                    // 1 - probability, its inverse and the product are rounded; in the worst case 1
                    // - probability = 0.001 has an error of 6e-8.
                    check_close(y, expected, probability > 0.9f ? 1e-4 : 3e-7, 0, "y");
                    CHECK(y.intact());
                }
            }
        }
}

TEST_CASE("dropout drops the given share, and other elements at other steps and seeds") {
    constexpr std::int64_t kCount = 100'000;
    const std::vector<float> ones(kCount, 1);
    const auto masked = [&](DropoutDraw draw, float probability) {
        std::vector<float> y(kCount);
        reference::dropout(probability, ones.data(), kCount, &draw, y.data());
        return y;
    };
    const auto dropped = [](const std::vector<float>& y) {
        return static_cast<double>(std::count(y.begin(), y.end(), 0.0f)) / kCount;
    };
    for (const float probability : {0.1f, 0.5f, 0.9f}) {
        // Five standard deviations.
        CHECK(dropped(masked({1, 0}, probability)) == doctest::Approx(probability).epsilon(0.03));
        const auto y = masked({1, 0}, probability);
        CHECK(*std::max_element(y.begin(), y.end()) == doctest::Approx(1 / (1 - probability)));
    }
    const auto a = masked({1, 0}, 0.5f), b = masked({1, 1}, 0.5f), c = masked({2, 0}, 0.5f);
    for (const auto* other : {&b, &c}) {
        std::int64_t same = 0;
        for (std::int64_t i = 0; i < kCount; ++i) same += a[i] == (*other)[i];
        CHECK(static_cast<double>(same) / kCount == doctest::Approx(0.5).epsilon(0.02));
    }
}

TEST_CASE("a dropped element is zero even if it was NaN") {
    const std::vector<float> x(64, std::numeric_limits<float>::infinity());
    for (const auto& run : CNPD_WITH_REFERENCE(dropout)) {
        INFO(run.backend);
        Guarded<float> y(64);
        run(0.5f, x, 64, kDraw, y);
        for (std::int64_t i = 0; i < 64; ++i) CHECK((y[i] == 0 || std::isinf(y[i])));
    }
}

TEST_CASE("dropout: the step is incremented, the seed is unchanged") {
    for (const auto& run : CNPD_WITH_REFERENCE(advance)) {
        INFO(run.backend);
        std::vector<DropoutDraw> draw = kDraw;
        run(draw);
        CHECK(draw[0].seed == kDraw[0].seed);
        CHECK(draw[0].step == kDraw[0].step + 1);
    }
}
