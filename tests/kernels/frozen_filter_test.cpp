// Convolutions that keep the layouts of a frozen filter.
#include "kernels/convolution/frozen_filter.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// Every algorithm: Winograd with both strides, many and few tiles; direct; oneDNN.
const ConvolutionShape kShapes[] = {
    {.n = 3, .h = 16, .w = 16, .c = 16, .k = 40, .r = 3, .s = 3, .pad = 1},
    {.n = 1, .h = 8, .w = 8, .c = 160, .k = 128, .r = 3, .s = 3, .pad = 1},
    {.n = 9, .h = 16, .w = 16, .c = 32, .k = 48, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 1, .h = 4, .w = 4, .c = 128, .k = 136, .r = 3, .s = 3, .pad = 1},
    {.n = 1, .h = 32, .w = 32, .c = 3, .k = 24, .r = 3, .s = 3, .pad = 1},
    {.n = 1, .h = 9, .w = 11, .c = 20, .k = 7, .r = 1, .s = 1, .stride = 2},
    {.n = 64, .h = 32, .w = 32, .c = 8, .k = 32, .r = 3, .s = 3, .pad = 1}};

std::vector<float> forward(const ConvolutionShape& shape, const std::vector<float>& x,
                           const std::vector<float>& filter, FilterLayouts* layouts) {
    std::vector<float> y(shape.n * shape.out_h() * shape.out_w() * shape.k);
    cpu::convolution_forward(shape, x.data(), filter.data(), layouts, {}, y.data());
    return y;
}

std::vector<float> dgrad(const ConvolutionShape& shape, const std::vector<float>& dy,
                         const std::vector<float>& filter, FilterLayouts* layouts) {
    std::vector<float> dx(shape.n * shape.h * shape.w * shape.c);
    cpu::convolution_dgrad(shape, dy.data(), filter.data(), layouts, dx.data());
    return dx;
}

}  // namespace

TEST_CASE("convolutions with kept layouts have the bits of convolutions without") {
    for (const ConvolutionShape& shape : kShapes) {
        CAPTURE(shape.h);
        CAPTURE(shape.c);
        const auto filter = random_values(shape.k * shape.r * shape.s * shape.c);
        const auto x = random_values(shape.n * shape.h * shape.w * shape.c);
        const auto dy = random_values(shape.n * shape.out_h() * shape.out_w() * shape.k);
        FilterLayouts layouts;
        for (int call = 0; call < 2; ++call) {
            CHECK(forward(shape, x, filter, &layouts) == forward(shape, x, filter, nullptr));
            CHECK(dgrad(shape, dy, filter, &layouts) == dgrad(shape, dy, filter, nullptr));
        }
    }
}

TEST_CASE("kept layouts are computed once, released with their object, and limited in total") {
    const std::int64_t before = FilterLayouts::bytes_in_use();
    int made = 0;
    const auto make = [&](float* to) {
        ++made;
        to[0] = 1;
    };
    {
        FilterLayouts layouts, other;
        const float* first = layouts.find_or_make(FilterLayout::direct, 100, make);
        CHECK(layouts.find_or_make(FilterLayout::direct, 100, make) == first);
        CHECK(made == 1);
        CHECK(layouts.find_or_make(FilterLayout::winograd_forward, 100, make) != first);
        CHECK(FilterLayouts::bytes_in_use() == before + 2 * 448);
        const std::int64_t rest = FilterLayouts::kMostBytes - FilterLayouts::bytes_in_use();
        CHECK(other.find_or_make(FilterLayout::direct, rest / 4 + 1, make) == nullptr);
        CHECK(made == 2);
    }
    CHECK(FilterLayouts::bytes_in_use() == before);
}
