// Kernels of activations in bfloat16, except the polarizer's.
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/convolution/convolution.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/pooling/pooling.h"
#include "tests/support/bfloat16.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

TEST_CASE("bfloat16 activations: casts round to nearest, and casts to float32 are exact") {
    using Round = void(const float*, std::int64_t, bfloat16*);
    using Extend = void(const bfloat16*, std::int64_t, float*);
    for (const std::int64_t count : {0, 1, 7, 8, 9, 1009, 100003})
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(count);
            CAPTURE(offset);
            auto values = random_values(count);
            if (count > 8) {
                values[3] = std::numeric_limits<float>::quiet_NaN();
                values[5] = std::numeric_limits<float>::infinity();
                values[6] = 3.4e38f;  // beyond the largest bfloat16
                values[7] = -0.0f;
            }
            const Guarded<float> x(values, offset);
            const auto round = with_reference<Round>(
                &reference::cast,
                implementations<Round>(&cpu::cast, CNPD_DEVICE_FUNCTION(cast, &cpu::cast)));
            for (const auto& cast : round) {
                INFO(cast.backend);
                Guarded<bfloat16> y(count, offset);
                cast(x, count, y);
                for (std::int64_t i = 0; i < count; ++i)
                    REQUIRE(y[i].bits == bfloat16(values[static_cast<std::size_t>(i)]).bits);
                CHECK(y.intact());
            }
            const Values stored(random_values(count));
            const Guarded<bfloat16> rounded(stored.stored, offset);
            const auto extend = with_reference<Extend>(
                &reference::cast,
                implementations<Extend>(&cpu::cast, CNPD_DEVICE_FUNCTION(cast, &cpu::cast)));
            for (const auto& cast : extend) {
                INFO(cast.backend);
                Guarded<float> y(count, offset);
                cast(rounded, count, y);
                check_close(y, stored.exact, 0, 1e-30, "exact");
                CHECK(y.intact());
            }
        }
}

TEST_CASE("bfloat16 activations: sums and ReLUs, in place and unaligned too") {
    for (const std::int64_t count : {1, 7, 8, 1009, 10007})
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(count);
            CAPTURE(offset);
            const Values x = random(count), y = random(count);
            std::vector<float> sum(count), open(count), gradient(count);
            reference::add(x.exact.data(), y.exact.data(), count, sum.data());
            reference::relu_forward(x.exact.data(), count, open.data());
            reference::relu_backward(y.exact.data(), x.exact.data(), count, gradient.data());
            const Guarded<bfloat16> x_in(x.stored, offset);
            for (const auto& add : CNPD_IN_BFLOAT16(add)) {
                INFO(add.backend);
                Guarded<bfloat16> z(y.stored, offset);
                add(x_in, z, count, z);
                check_rounded(z, sum, 1e-30, "x + y");
            }
            for (const auto& relu : CNPD_IN_BFLOAT16(relu_forward)) {
                INFO(relu.backend);
                Guarded<bfloat16> z(count, offset);
                relu(x_in, count, z);
                check_rounded(z, open, 1e-30, "relu");
            }
            for (const auto& relu : CNPD_IN_BFLOAT16(relu_backward)) {
                INFO(relu.backend);
                Guarded<bfloat16> z(y.stored, offset);
                relu(z, x_in, count, z);
                check_rounded(z, gradient, 1e-30, "dx");
            }
        }
}

TEST_CASE("bfloat16 activations: row sums") {
    for (const std::int64_t columns : {1, 7, 16, 64, 100, 1032})
        for (const std::int64_t rows : {0, 1, 9, 640, 1031}) {
            CAPTURE(rows);
            CAPTURE(columns);
            const Values x = random_integers(rows * columns);
            std::vector<float> expected(columns);
            reference::sum_rows(x.exact.data(), rows, columns, expected.data());
            for (const auto& sum_rows : CNPD_IN_BFLOAT16(sum_rows)) {
                INFO(sum_rows.backend);
                Guarded<float> sums(columns);
                sum_rows(x.stored, rows, columns, sums);
                check_close(sums, expected, 0, 1e-30, "sums");
                CHECK(sums.intact());
            }
        }
}

namespace {
struct RowShape {
    std::int64_t rows, channels;
};
const RowShape kRowShapes[] = {{1, 1},   {2, 3},   {7, 7},   {5, 65},  {97, 5},
                               {64, 16}, {33, 24}, {70, 64}, {997, 8}, {41, 1032}};
// More shapes: some that GPUs cut into several slabs of rows, and one of several tiles.
std::vector<RowShape> reduced_shapes() {
    std::vector<RowShape> shapes(std::begin(kRowShapes), std::end(kRowShapes));
    shapes.insert(shapes.end(), {{1031, 64}, {8209, 8}, {2003, 24}, {131, 2072}, {4099, 3}});
    return shapes;
}
}  // namespace

TEST_CASE("bfloat16 activations: batch norm's statistics and its output") {
    for (const auto& [rows, channels] : reduced_shapes()) {
        CAPTURE(rows);
        CAPTURE(channels);
        const Values x = random(rows * channels, 2, 0.5f);
        const auto scale = random_values(channels, 0.2f, 1), shift = random_values(channels);
        std::vector<float> mean(channels), variance(channels);
        reference::batch_norm_statistics(x.exact.data(), rows, channels, mean.data(),
                                         variance.data());
        for (const auto& statistics : CNPD_IN_BFLOAT16(batch_norm_statistics))
            for (const std::size_t offset : {0, 1}) {
                INFO(statistics.backend);
                CAPTURE(offset);
                const Guarded<bfloat16> in(x.stored, offset);
                Guarded<float> m(channels), v(channels);
                statistics(in, rows, channels, m, v);
                check_close(m, mean, 2e-7, 8e-6, "mean");
                check_close(v, variance, 2e-5, 4e-6, "variance");
                CHECK(m.intact());
                CHECK(v.intact());
            }
        for (const bool relu : {false, true}) {
            std::vector<float> y(x.exact.size());
            reference::batch_norm_apply(x.exact.data(), rows, channels, scale.data(), shift.data(),
                                        relu, y.data());
            for (const auto& apply : CNPD_IN_BFLOAT16(batch_norm_apply)) {
                INFO(apply.backend);
                Guarded<bfloat16> in_place(x.stored);
                apply(in_place, rows, channels, scale, shift, relu, in_place);
                check_rounded(in_place, y, 1.2e-6, "y");
            }
        }
    }
}

TEST_CASE("bfloat16 activations: the sums of batch norm's gradients") {
    for (const auto& [rows, channels] : reduced_shapes())
        for (const bool relu : {false, true}) {
            CAPTURE(rows);
            CAPTURE(channels);
            CAPTURE(relu);
            // Integers and a half: sums are exact, and the ReLU's input is not 0.
            const Values x = random_integers(rows * channels), dy = random_integers(x.size());
            const std::vector<float> scale(channels, 1.0f), shift(channels, 0.5f),
                mean = random_integers(channels).exact;
            std::vector<float> sum_g(channels), sum_gx(channels);
            reference::batch_norm_backward_reduce(dy.exact.data(), x.exact.data(), rows, channels,
                                                  mean.data(), scale.data(), shift.data(), relu,
                                                  sum_g.data(), sum_gx.data());
            for (const auto& reduce : CNPD_IN_BFLOAT16(batch_norm_backward_reduce))
                for (const std::size_t offset : {0, 1}) {
                    INFO(reduce.backend);
                    CAPTURE(offset);
                    const Guarded<bfloat16> in(x.stored, offset);
                    Guarded<float> g(channels), gx(channels);
                    reduce(dy.stored, in, rows, channels, mean, if_wanted(relu, scale),
                           if_wanted(relu, shift), relu, g, gx);
                    check_close(g, sum_g, 0, 1e-30, "sum_g");
                    check_close(gx, sum_gx, 0, 1e-30, "sum_gx");
                    CHECK(g.intact());
                    CHECK(gx.intact());
                }
        }
}

TEST_CASE("bfloat16 activations: batch norm's input gradient, in every variant") {
    for (const auto& [rows, channels] : kRowShapes)
        for (int variant = 0; variant < 8; ++variant) {
            const bool relu = variant & 1, training = variant & 2, with_add = variant & 4;
            CAPTURE(rows);
            CAPTURE(channels);
            CAPTURE(variant);
            // Integers and a half: sums are exact, and the ReLU's input is not 0.
            const Values x = random_integers(rows * channels), dy = random_integers(x.size()),
                         add = random(x.size());
            const std::vector<float> scale(channels, 1.0f), shift(channels, 0.5f);
            const auto a = random_values(channels), b = random_values(channels),
                       c = random_values(channels);
            std::vector<float> dx(x.exact.size());
            reference::batch_norm_backward_input(
                dy.exact.data(), x.exact.data(), rows, channels, scale.data(), shift.data(), relu,
                a.data(), training ? b.data() : nullptr, training ? c.data() : nullptr,
                with_add ? add.exact.data() : nullptr, dx.data());
            for (const auto& backward : CNPD_IN_BFLOAT16(batch_norm_backward_input)) {
                INFO(backward.backend);
                Guarded<bfloat16> in_place(dy.stored);
                backward(in_place, if_wanted(relu || training, x.stored), rows, channels,
                         if_wanted(relu, scale), if_wanted(relu, shift), relu, a,
                         if_wanted(training, b), if_wanted(training, c),
                         if_wanted(with_add, add.stored), in_place);
                check_rounded(in_place, dx, 7e-6, "dx");
            }
        }
}

TEST_CASE("bfloat16 activations: pooling") {
    const PoolingShape shapes[] = {
        {.n = 3, .h = 4, .w = 4, .c = 64, .window_h = 4, .window_w = 4},
        {.n = 2, .h = 5, .w = 7, .c = 13, .window_h = 5, .window_w = 7},
        {.n = 2, .h = 7, .w = 9, .c = 3, .window_h = 2, .window_w = 2, .stride = 2},
        {.n = 2, .h = 9, .w = 8, .c = 7, .window_h = 3, .window_w = 3, .stride = 2, .pad = 1}};
    for (const PoolingShape& s : shapes) {
        INFO(s.n, "x", s.h, "x", s.w, "x", s.c, " window ", s.window_h, "x", s.window_w);
        // Integers: the largest is the same in both types, ties included.
        const Values x = random_integers(s.n * s.h * s.w * s.c),
                     dy = random(s.n * s.out_h() * s.out_w() * s.c);
        const double of_sum = 5e-7 * static_cast<double>(s.window_h * s.window_w);
        std::vector<float> y(dy.exact.size()), dx(x.exact.size());
        std::vector<std::int32_t> positions(y.size());
        reference::average_pool_forward(s, x.exact.data(), y.data());
        reference::average_pool_backward(s, dy.exact.data(), dx.data());
        for (const auto& forward : CNPD_IN_BFLOAT16(average_pool_forward)) {
            INFO(forward.backend);
            Guarded<bfloat16> actual(dy.size());
            forward(s, x.stored, actual);
            check_rounded(actual, y, of_sum, "average");
        }
        for (const auto& backward : CNPD_IN_BFLOAT16(average_pool_backward)) {
            INFO(backward.backend);
            Guarded<bfloat16> actual(x.size());
            backward(s, dy.stored, actual);
            check_rounded(actual, dx, of_sum, "average, dx");
        }
        if (s.out_h() == 1 && s.out_w() == 1) {
            for (const auto& forward : CNPD_IN_BFLOAT16(global_average_pool_forward)) {
                INFO(forward.backend);
                Guarded<float> actual(dy.size());
                forward(s, x.stored, actual);
                check_close(actual, y, 2e-7, of_sum, "global average");  // not rounded
                CHECK(actual.intact());
            }
            for (const auto& backward : CNPD_IN_BFLOAT16(global_average_pool_backward)) {
                INFO(backward.backend);
                Guarded<bfloat16> actual(x.size());
                backward(s, dy.exact, actual);
                check_rounded(actual, dx, of_sum, "global average, dx");
            }
        }
        reference::max_pool_forward(s, x.exact.data(), y.data(), positions.data());
        reference::max_pool_backward(s, dy.exact.data(), positions.data(), dx.data());
        for (const auto& forward : CNPD_IN_BFLOAT16(max_pool_forward)) {
            INFO(forward.backend);
            Guarded<bfloat16> actual(dy.size());
            Guarded<std::int32_t> argmax(dy.size());
            forward(s, x.stored, actual, argmax);
            check_close(actual, y, 0, 1e-30, "max");
            CHECK(std::equal(positions.begin(), positions.end(), argmax.data()));
        }
        for (const auto& backward : CNPD_IN_BFLOAT16(max_pool_backward)) {
            INFO(backward.backend);
            Guarded<bfloat16> actual(x.size());
            backward(s, dy.stored, positions, actual);
            check_rounded(actual, dx, 2e-6, "max, dx");
        }
    }
}

TEST_CASE("bfloat16 activations: convolutions") {
    const ConvolutionShape shapes[] = {
        {.n = 2, .h = 9, .w = 8, .c = 3, .k = 16, .r = 3, .s = 3, .stride = 1, .pad = 1},
        {.n = 2, .h = 6, .w = 7, .c = 16, .k = 72, .r = 3, .s = 3, .stride = 2, .pad = 1},
        {.n = 3, .h = 5, .w = 5, .c = 24, .k = 13, .r = 1, .s = 1, .stride = 2, .pad = 0},
        {.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1, .stride = 1, .pad = 0},
        {.n = 5, .h = 11, .w = 6, .c = 7, .k = 8, .r = 3, .s = 3, .stride = 1, .pad = 0}};
    for (const ConvolutionShape& s : shapes) {
        CAPTURE(s.h);
        CAPTURE(s.c);
        const Values x = random(s.n * s.h * s.w * s.c), filter = random(s.k * s.r * s.s * s.c),
                     dy = random(s.n * s.out_h() * s.out_w() * s.k), residual = random(dy.size());
        const auto bias = random_values(s.k);
        // Sums of products of normal numbers are about the square root of their number.
        const auto size_of_sum = [](std::int64_t terms) {
            return std::sqrt(static_cast<double>(terms));
        };
        const double forward_sum = size_of_sum(s.r * s.s * s.c);
        for (int parts = 0; parts < 8; ++parts) {
            CAPTURE(parts);
            std::vector<float> y(dy.exact.size());
            reference::convolution_forward(
                s, x.exact.data(), filter.exact.data(),
                ConvolutionEpilogue<float>{parts & 1 ? bias.data() : nullptr,
                                           parts & 2 ? residual.exact.data() : nullptr,
                                           (parts & 4) != 0},
                y.data());
            for (const auto& run : CNPD_IN_BFLOAT16(convolution_forward)) {
                INFO(run.backend);
                Guarded<bfloat16> actual(dy.size());
                run(s, x.stored, filter.stored, staged([&](Staging& staging) {
                        return ConvolutionEpilogue<bfloat16>{
                            parts & 1 ? staging.pass(bias) : nullptr,
                            parts & 2 ? staging.pass(residual.stored) : nullptr, (parts & 4) != 0};
                    }),
                    actual);
                // cuDNN's sums are rounded before the epilogue; they are within 6 standard
                // deviations.
                const bool twice = std::string_view(run.backend) == "cuda" && parts != 0;
                check_rounded(actual, y, forward_sum * (2e-5 + (twice ? 6 * kBfloat16Rounding : 0)),
                              "y");
            }
        }
        std::vector<float> dx(x.exact.size()), dfilter(filter.exact.size());
        reference::convolution_dgrad(s, dy.exact.data(), filter.exact.data(), dx.data());
        reference::convolution_wgrad(s, x.exact.data(), dy.exact.data(), dfilter.data());
        for (const auto& run : CNPD_IN_BFLOAT16(convolution_dgrad)) {
            INFO(run.backend);
            Guarded<bfloat16> actual(x.size());
            run(s, dy.stored, filter.stored, actual);
            check_rounded(actual, dx, 2e-5 * size_of_sum(s.r * s.s * s.k), "dx");
        }
        for (const auto& run : CNPD_IN_BFLOAT16(convolution_wgrad)) {
            INFO(run.backend);
            Guarded<float> actual(filter.size());
            run(s, x.stored, dy.stored, actual);
            const bool rounded = std::string_view(run.backend) == "cuda";  // by cuDNN
            check_close(actual, dfilter, rounded ? kBfloat16Rounding : 1e-5,
                        2e-5 * size_of_sum(s.n * s.out_h() * s.out_w()), "dfilter");
            CHECK(actual.intact());
        }
    }
}
