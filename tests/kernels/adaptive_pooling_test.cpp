#include "kernels/pooling/adaptive.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const AdaptivePoolingShape kShapes[] = {
    {.n = 1, .h = 1, .w = 1, .c = 1, .out_h = 1, .out_w = 1},
    {.n = 3, .h = 1, .w = 1, .c = 16, .out_h = 7, .out_w = 7},
    {.n = 2, .h = 2, .w = 3, .c = 5, .out_h = 7, .out_w = 7},
    {.n = 2, .h = 7, .w = 7, .c = 3, .out_h = 7, .out_w = 7},
    {.n = 2, .h = 14, .w = 14, .c = 8, .out_h = 7, .out_w = 7},
    {.n = 1, .h = 17, .w = 9, .c = 7, .out_h = 7, .out_w = 7},
    {.n = 3, .h = 5, .w = 11, .c = 33, .out_h = 1, .out_w = 4},
    {.n = 0, .h = 5, .w = 11, .c = 33, .out_h = 1, .out_w = 4},
};

std::int64_t inputs(const AdaptivePoolingShape& s) {
    return s.n * s.h * s.w * s.c;
}
std::int64_t outputs(const AdaptivePoolingShape& s) {
    return s.n * s.out_h * s.out_w * s.c;
}

}  // namespace

TEST_CASE("adaptive average pooling equals the reference") {
    for (const AdaptivePoolingShape& s : kShapes) {
        INFO(s.n, "x", s.h, "x", s.w, "x", s.c, " to ", s.out_h, "x", s.out_w);
        const auto x = random_values(inputs(s)), dy = random_values(outputs(s));
        Guarded<float> y_expected(outputs(s)), dx_expected(inputs(s));
        reference::adaptive_average_pool_forward(s, x.data(), y_expected.data());
        reference::adaptive_average_pool_backward(s, dy.data(), dx_expected.data());
        check_outputs(CNPD_IMPLEMENTATIONS(adaptive_average_pool_forward), s, x, y_expected, 2e-7,
                      1e-6, "y");
        // Up to 49 gradients of size 1 are added.
        check_outputs(CNPD_IMPLEMENTATIONS(adaptive_average_pool_backward), s, dy, dx_expected,
                      2e-7, 1e-5, "dx");
    }
}

TEST_CASE("adaptive average pooling: a small example") {
    const float x[] = {1, 2, 3, 4, 5};
    float y[3];
    // Windows 0..1, 1..3, 3..4: neighbouring windows overlap.
    reference::adaptive_average_pool_forward(
        {.n = 1, .h = 1, .w = 5, .c = 1, .out_h = 1, .out_w = 3}, x, y);
    CHECK(std::vector<float>(y, y + 3) == std::vector<float>{1.5f, 3, 4.5f});
    const float dy[] = {6, 6, 6};
    float dx[5];
    reference::adaptive_average_pool_backward(
        {.n = 1, .h = 1, .w = 5, .c = 1, .out_h = 1, .out_w = 3}, dy, dx);
    CHECK(std::vector<float>(dx, dx + 5) == std::vector<float>{3, 5, 2, 5, 3});
}

TEST_CASE("adaptive pooling: windows and the inverse lookup agree") {
    for (std::int64_t size = 1; size < 20; ++size)
        for (std::int64_t out = 1; out < 20; ++out)
            for (std::int64_t i = 0; i < size; ++i)
                for (std::int64_t o = 0; o < out; ++o) {
                    const Overlap window = overlap(o, out, size), windows = overlap(i, size, out);
                    REQUIRE((window.first <= i && i < window.end) ==
                            (windows.first <= o && o < windows.end));
                }
}
