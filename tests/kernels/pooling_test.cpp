#include "kernels/pooling/pooling.h"

#include <algorithm>
#include <numeric>

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const PoolingShape kShapes[] = {
    {.n = 1, .h = 1, .w = 1, .c = 1, .window_h = 1, .window_w = 1},
    {.n = 3, .h = 4, .w = 4, .c = 64, .window_h = 4, .window_w = 4},  // global
    {.n = 2, .h = 5, .w = 7, .c = 13, .window_h = 5, .window_w = 7},  // global
    {.n = 2, .h = 8, .w = 8, .c = 16, .window_h = 2, .window_w = 2, .stride = 2},
    {.n = 2, .h = 7, .w = 9, .c = 3, .window_h = 2, .window_w = 2, .stride = 2},
    {.n = 2, .h = 9, .w = 8, .c = 7, .window_h = 3, .window_w = 3, .stride = 2, .pad = 1},
    {.n = 3, .h = 5, .w = 5, .c = 8, .window_h = 3, .window_w = 3, .stride = 1, .pad = 1},
    {.n = 1, .h = 6, .w = 7, .c = 5, .window_h = 3, .window_w = 2, .stride = 1, .pad = 1},
    {.n = 1, .h = 10, .w = 11, .c = 2, .window_h = 2, .window_w = 2, .stride = 3},
    {.n = 67, .h = 16, .w = 16, .c = 33, .window_h = 2, .window_w = 2, .stride = 2},
};

// Only average pooling accepts windows that consist of padding.
const PoolingShape kAverageShapes[] = {
    {.n = 2, .h = 4, .w = 4, .c = 32, .window_h = 4, .window_w = 4, .pad = 1},
    {.n = 3, .h = 1, .w = 2, .c = 5, .window_h = 1, .window_w = 2, .pad = 1},
    {.n = 2, .h = 3, .w = 2, .c = 9, .window_h = 1, .window_w = 2, .stride = 2, .pad = 3},
};

std::int64_t inputs(const PoolingShape& s) {
    return s.n * s.h * s.w * s.c;
}
std::int64_t outputs(const PoolingShape& s) {
    return s.n * s.out_h() * s.out_w() * s.c;
}

}  // namespace

TEST_CASE("average pooling equals the reference") {
    std::vector<PoolingShape> shapes(std::begin(kShapes), std::end(kShapes));
    shapes.insert(shapes.end(), std::begin(kAverageShapes), std::end(kAverageShapes));
    for (const PoolingShape& s : shapes) {
        INFO(s.n, "x", s.h, "x", s.w, "x", s.c, " window ", s.window_h, "x", s.window_w);
        const auto x = random_values(inputs(s)), dy = random_values(outputs(s));
        Guarded<float> y_expected(outputs(s)), dx_expected(inputs(s));
        reference::average_pool_forward(s, x.data(), y_expected.data());
        reference::average_pool_backward(s, dy.data(), dx_expected.data());
        // As many roundings as the window has elements, of partial sums up to its size, then
        // divided by it.
        check_outputs(CNPD_IMPLEMENTATIONS(average_pool_forward), s, x, y_expected, 2e-7,
                      6e-8 * static_cast<double>(s.window_h * s.window_w), "y");
        check_outputs(CNPD_IMPLEMENTATIONS(average_pool_backward), s, dy, dx_expected, 2e-7, 5e-7,
                      "dx");
    }
}

TEST_CASE("max pooling equals the reference, ties and NaN included") {
    for (const bool with_nan : {false, true})
        for (const PoolingShape& s : kShapes) {
            INFO(s.n, "x", s.h, "x", s.w, "x", s.c, " window ", s.window_h, "x", s.window_w);
            auto x = random_values(inputs(s));
            const auto dy = random_values(outputs(s));
            for (float& value : x) {
                value = std::round(4 * value - 8);  // mostly negative: padding must not be 0
                if (with_nan && value == -5) value = std::numeric_limits<float>::quiet_NaN();
            }
            Guarded<float> y_expected(outputs(s)), dx_expected(inputs(s));
            Guarded<std::int32_t> argmax_expected(outputs(s));
            reference::max_pool_forward(s, x.data(), y_expected.data(), argmax_expected.data());
            reference::max_pool_backward(s, dy.data(), argmax_expected.data(), dx_expected.data());
            for (const auto& forward : CNPD_IMPLEMENTATIONS(max_pool_forward)) {
                INFO(forward.backend);
                Guarded<float> y(outputs(s));
                Guarded<std::int32_t> argmax(outputs(s));
                forward(s, x, y, argmax);
                for (std::int64_t i = 0; i < outputs(s); ++i) {
                    REQUIRE(argmax[i] == argmax_expected[i]);
                    REQUIRE(std::isnan(y[i]) == std::isnan(y_expected[i]));
                    if (!std::isnan(y[i])) REQUIRE(y[i] == y_expected[i]);
                }
                CHECK(y.intact());
                CHECK(argmax.intact());
            }
            for (const auto& backward : CNPD_IMPLEMENTATIONS(max_pool_backward)) {
                INFO(backward.backend);
                Guarded<float> dx(inputs(s));
                backward(s, dy, argmax_expected, dx);
                check_close(dx, dx_expected, 2e-7, 2e-6, "dx");  // up to nine windows meet
                CHECK(dx.intact());
            }
        }
}

TEST_CASE("pooling of a small example") {
    const PoolingShape s = {
        .n = 1, .h = 3, .w = 3, .c = 1, .window_h = 2, .window_w = 2, .stride = 2, .pad = 1};
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    float y[4];
    std::int32_t argmax[4];
    reference::average_pool_forward(s, x, y);  // padded zeros count
    CHECK(std::vector<float>(y, y + 4) == std::vector<float>{0.25f, 1.25f, 2.75f, 7});
    reference::max_pool_forward(s, x, y, argmax);
    CHECK(std::vector<float>(y, y + 4) == std::vector<float>{1, 3, 7, 9});
    CHECK(std::vector<std::int32_t>(argmax, argmax + 4) == std::vector<std::int32_t>{0, 2, 6, 8});
}

// Inputs are distinct integers, and the step is smaller than their distance: both poolings are
// linear within the step, and differences of floats are exact.
TEST_CASE("pooling gradients of the reference agree with central differences") {
    for (const PoolingShape& s : kShapes) {
        if (inputs(s) > 1000) continue;
        INFO(s.n, "x", s.h, "x", s.w, "x", s.c, " window ", s.window_h, "x", s.window_w);
        std::vector<float> x(inputs(s)), y(outputs(s)), dx(inputs(s));
        std::iota(x.begin(), x.end(), -100.0f);
        std::shuffle(x.begin(), x.end(), std::mt19937(3));
        auto dy = random_values(outputs(s));
        for (float& value : dy) value = std::round(4 * value);
        std::vector<std::int32_t> argmax(outputs(s));
        const auto check = [&](const auto& forward, double tolerance) {
            std::vector<double> expected;
            for (float& value : x) {
                const float before = value;
                double difference = 0;
                for (const float h : {0.25f, -0.25f}) {
                    value = before + h;
                    forward();
                    for (std::int64_t o = 0; o < outputs(s); ++o)
                        difference += static_cast<double>(dy[o]) * y[o] / (2 * h);
                }
                value = before;
                expected.push_back(difference);
            }
            check_close(dx, expected, 1e-6, tolerance, "dx");
        };
        reference::max_pool_forward(s, x.data(), y.data(), argmax.data());
        reference::max_pool_backward(s, dy.data(), argmax.data(), dx.data());
        check([&] { reference::max_pool_forward(s, x.data(), y.data(), argmax.data()); }, 1e-6);
        reference::average_pool_backward(s, dy.data(), dx.data());
        // Outputs up to 1000 are rounded once, then multiplied by up to 12 / (2 * 0.25).
        check([&] { reference::average_pool_forward(s, x.data(), y.data()); }, 5e-3);
    }
}
