#include "kernels/convolution/convolution.h"

#include <cmath>

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const ConvolutionShape kShapes[] = {
    // The stem, stride-2 and shortcut convolutions of the networks, small.
    {.n = 2, .h = 32, .w = 32, .c = 3, .k = 16, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 2, .h = 16, .w = 16, .c = 16, .k = 32, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 2, .h = 16, .w = 16, .c = 16, .k = 32, .r = 1, .s = 1, .stride = 2, .pad = 0},
    {.n = 3, .h = 8, .w = 8, .c = 8, .k = 24, .r = 1, .s = 1, .stride = 1, .pad = 0},
    {.n = 1, .h = 56, .w = 56, .c = 3, .k = 8, .r = 7, .s = 7, .stride = 2, .pad = 3},
    // 3x3, stride 1: whole and partial tiles, channels that fill vectors and some that do not.
    {.n = 2, .h = 8, .w = 8, .c = 16, .k = 16, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 5, .h = 4, .w = 4, .c = 64, .k = 72, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 2, .h = 32, .w = 32, .c = 64, .k = 64, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 3, .h = 7, .w = 9, .c = 32, .k = 40, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 1, .h = 5, .w = 13, .c = 24, .k = 16, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 2, .h = 6, .w = 5, .c = 16, .k = 32, .r = 3, .s = 3, .stride = 1, .pad = 0},
    {.n = 2, .h = 11, .w = 6, .c = 7, .k = 13, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 1, .h = 3, .w = 3, .c = 128, .k = 16, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 1, .h = 1, .w = 1, .c = 16, .k = 16, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 129, .h = 4, .w = 4, .c = 8, .k = 8, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 40, .h = 4, .w = 4, .c = 256, .k = 528, .r = 3, .s = 3, .stride = 1, .pad = 1},
    // 3x3, stride 2: the same.
    {.n = 2, .h = 32, .w = 32, .c = 32, .k = 64, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 9, .h = 8, .w = 8, .c = 72, .k = 80, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 3, .h = 9, .w = 14, .c = 24, .k = 13, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 2, .h = 10, .w = 7, .c = 11, .k = 20, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 1, .h = 1, .w = 2, .c = 16, .k = 16, .r = 3, .s = 3, .stride = 2, .pad = 1},
    // Few images: fewer tiles than threads, smaller Winograd tiles, direct.
    {.n = 1, .h = 16, .w = 16, .c = 64, .k = 72, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 1, .h = 8, .w = 7, .c = 48, .k = 40, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 1, .h = 8, .w = 8, .c = 80, .k = 72, .r = 3, .s = 3, .stride = 1, .pad = 2},
    {.n = 1, .h = 4, .w = 4, .c = 200, .k = 136, .r = 3, .s = 3, .stride = 1, .pad = 1},
    {.n = 1, .h = 16, .w = 16, .c = 40, .k = 56, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 1, .h = 9, .w = 14, .c = 24, .k = 13, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 2, .h = 9, .w = 8, .c = 40, .k = 24, .r = 1, .s = 1, .stride = 2, .pad = 0},
    {.n = 1, .h = 13, .w = 9, .c = 17, .k = 33, .r = 5, .s = 3, .stride = 1, .pad = 2},
    // Shortcuts of narrow networks, whose channels do not fill a vector.
    {.n = 5, .h = 32, .w = 32, .c = 1, .k = 2, .r = 1, .s = 1, .stride = 2, .pad = 0},
    {.n = 5, .h = 32, .w = 32, .c = 3, .k = 6, .r = 1, .s = 1, .stride = 2, .pad = 0},
    {.n = 9, .h = 16, .w = 15, .c = 4, .k = 8, .r = 1, .s = 1, .stride = 2, .pad = 0},
    // Sizes that are multiples of no block.
    {.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1, .stride = 1, .pad = 0},
    {.n = 3, .h = 7, .w = 5, .c = 5, .k = 3, .r = 3, .s = 3, .stride = 2, .pad = 0},
    {.n = 2, .h = 7, .w = 7, .c = 11, .k = 5, .r = 1, .s = 1, .stride = 2, .pad = 0},
    {.n = 2, .h = 9, .w = 7, .c = 1, .k = 17, .r = 3, .s = 3, .stride = 2, .pad = 1},
};

struct Problem {
    explicit Problem(const ConvolutionShape& shape)
        : x(random_values(shape.n * shape.h * shape.w * shape.c)),
          filter(random_values(shape.k * shape.r * shape.s * shape.c)),
          dy(random_values(shape.n * shape.out_h() * shape.out_w() * shape.k)),
          residual(random_values(static_cast<std::int64_t>(dy.size()))),
          bias(random_values(shape.k)) {}
    std::vector<float> x, filter, dy, residual, bias;
};

// Sums of `terms` products of standard normal numbers. Winograd's transforms amplify the rounding
// of float sums: its errors have a deviation of 2.5e-6 sqrt(terms) for the largest shape, and more
// at the corners of its tiles. The largest of N normal errors is about sqrt(2 ln N) deviations.
void check_sums(const Guarded<float>& actual, const Guarded<float>& expected, std::int64_t terms,
                const char* what) {
    const double largest = std::sqrt(2 * std::log(static_cast<double>(actual.size()) + 1));
    check_close(actual, expected, 1e-5, 6e-6 * largest * std::sqrt(static_cast<double>(terms)),
                what);
    CHECK(relative_l2_error(actual, expected) < 4e-6);
    CHECK(actual.intact());
}

std::int64_t multiplications(const ConvolutionShape& s) {
    return s.n * s.out_h() * s.out_w() * s.k * s.r * s.s * s.c;
}

std::string name(const ConvolutionShape& s) {
    return fmt::format("[{},{},{},{}] with [{},{},{},{}], stride {}, pad {}", s.n, s.h, s.w, s.c,
                       s.k, s.r, s.s, s.c, s.stride, s.pad);
}

void check_dgrad(const ConvolutionShape& shape) {
    CAPTURE(name(shape));
    const Problem problem(shape);
    const auto inputs = static_cast<std::int64_t>(problem.x.size());
    Guarded<float> expected(inputs);
    reference::convolution_dgrad(shape, problem.dy.data(), problem.filter.data(), expected.data());
    for (const auto& run : CNPD_IMPLEMENTATIONS(convolution_dgrad)) {
        if (run.too_slow_for(multiplications(shape))) continue;
        INFO(run.backend);
        Guarded<float> actual(inputs);
        run(shape, problem.dy, problem.filter, actual);
        check_sums(actual, expected, shape.r * shape.s * shape.k, "dx");
    }
}

}  // namespace

TEST_CASE("convolution_forward equals the reference with every epilogue") {
    for (const ConvolutionShape& shape : kShapes) {
        CAPTURE(name(shape));
        const Problem problem(shape);
        const auto outputs = static_cast<std::int64_t>(problem.dy.size());
        for (int parts = 0; parts < 8; ++parts) {
            CAPTURE(parts);
            const ConvolutionEpilogue<float> epilogue = {
                parts & 1 ? problem.bias.data() : nullptr,
                parts & 2 ? problem.residual.data() : nullptr, (parts & 4) != 0};
            Guarded<float> expected(outputs);
            reference::convolution_forward(shape, problem.x.data(), problem.filter.data(), epilogue,
                                           expected.data());
            for (const auto& run : CNPD_IMPLEMENTATIONS(convolution_forward)) {
                if (run.too_slow_for(multiplications(shape))) continue;
                INFO(run.backend);
                Guarded<float> actual(outputs);
                const auto on_device = staged([&](Staging& staging) {
                    return ConvolutionEpilogue<float>{
                        parts & 1 ? staging.pass(problem.bias) : nullptr,
                        parts & 2 ? staging.pass(problem.residual) : nullptr, epilogue.relu};
                });
                run(shape, problem.x, problem.filter, on_device, actual);
                check_sums(actual, expected, shape.r * shape.s * shape.c, "y");
            }
        }
    }
}

TEST_CASE("convolution_dgrad equals the reference") {
    for (const ConvolutionShape& shape : kShapes) check_dgrad(shape);
}

TEST_CASE("convolution_wgrad equals the reference") {
    for (const ConvolutionShape& shape : kShapes) {
        CAPTURE(name(shape));
        const Problem problem(shape);
        const auto weights = static_cast<std::int64_t>(problem.filter.size());
        Guarded<float> expected(weights);
        reference::convolution_wgrad(shape, problem.x.data(), problem.dy.data(), expected.data());
        for (const auto& run : CNPD_IMPLEMENTATIONS(convolution_wgrad)) {
            if (run.too_slow_for(multiplications(shape))) continue;
            INFO(run.backend);
            Guarded<float> actual(weights);
            run(shape, problem.x, problem.dy, actual);
            check_sums(actual, expected, shape.n * shape.out_h() * shape.out_w(), "dfilter");
        }
    }
}

TEST_CASE("the convolution passes are adjoint: <dy, conv(x)> = <dgrad(dy), x> = <wgrad, filter>") {
    const ConvolutionShape shape = {
        .n = 2, .h = 10, .w = 9, .c = 16, .k = 24, .r = 3, .s = 3, .stride = 1, .pad = 1};
    const Problem problem(shape);
    std::vector<float> y(problem.dy.size()), dx(problem.x.size()), dfilter(problem.filter.size());
    cpu::convolution_forward(shape, problem.x.data(), problem.filter.data(), {}, y.data());
    cpu::convolution_dgrad(shape, problem.dy.data(), problem.filter.data(), dx.data());
    cpu::convolution_wgrad(shape, problem.x.data(), problem.dy.data(), dfilter.data());
    const auto dot = [](const std::vector<float>& a, const std::vector<float>& b) {
        double sum = 0;
        for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
        return sum;
    };
    const double by_output = dot(problem.dy, y);
    const double scale = std::sqrt(dot(problem.dy, problem.dy) * dot(y, y));
    CHECK(std::fabs(by_output - dot(dx, problem.x)) < 1e-5 * scale);
    CHECK(std::fabs(by_output - dot(dfilter, problem.filter)) < 1e-5 * scale);
}

TEST_CASE("convolutions repeat bit for bit") {
    const ConvolutionShape shape = {
        .n = 9, .h = 12, .w = 12, .c = 32, .k = 32, .r = 3, .s = 3, .stride = 1, .pad = 1};
    const Problem problem(shape);
    std::vector<float> first(problem.filter.size()), second(problem.filter.size());
    cpu::convolution_wgrad(shape, problem.x.data(), problem.dy.data(), first.data());
    cpu::convolution_wgrad(shape, problem.x.data(), problem.dy.data(), second.data());
    CHECK(first == second);
}

TEST_CASE("convolution_dgrad equals the reference for few input channels") {
    // Whole and partial groups of columns, windows of several widths.
    for (const ConvolutionShape& shape :
         {ConvolutionShape{.n = 2, .h = 9, .w = 17, .c = 3, .k = 24, .r = 3, .s = 3, .pad = 1},
          ConvolutionShape{.n = 3, .h = 6, .w = 13, .c = 5, .k = 7, .r = 3, .s = 3, .pad = 2},
          ConvolutionShape{.n = 1, .h = 11, .w = 9, .c = 2, .k = 5, .r = 5, .s = 7, .pad = 3},
          ConvolutionShape{.n = 2, .h = 4, .w = 19, .c = 1, .k = 3, .r = 2, .s = 4}})
        check_dgrad(shape);
}
