#include "kernels/elementwise/elementwise.h"

#include <omp.h>

#include "tests/support/compare.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const std::int64_t kCounts[] = {1, 7, 64, 1009, 100003};
const float kNaN = std::numeric_limits<float>::quiet_NaN();

// Small integers: their sums are exact in float, so that a missing element cannot hide in a
// tolerance.
std::vector<float> random_integers(std::int64_t count) {
    auto values = random_values(count, 4);
    for (float& value : values) value = std::round(value);
    return values;
}

}  // namespace

TEST_CASE("fill, scale and add equal the reference, in place too") {
    for (const std::int64_t count : kCounts) {
        CAPTURE(count);
        const auto x = random_values(count), y = random_values(count);
        Guarded<float> actual(count), expected(count);
        cpu::fill(actual.data(), count, -3.5f);
        reference::fill(expected.data(), count, -3.5f);
        check_close(actual, expected, 0, 1e-30, "fill");

        cpu::scale(x.data(), count, 1.7f, actual.data());
        reference::scale(x.data(), count, 1.7f, expected.data());
        check_close(actual, expected, 0, 1e-30, "scale");

        cpu::add(x.data(), y.data(), count, actual.data());
        reference::add(x.data(), y.data(), count, expected.data());
        check_close(actual, expected, 0, 1e-30, "add");
        auto in_place = y;
        cpu::add(x.data(), in_place.data(), count, in_place.data());
        check_close(in_place, expected, 0, 1e-30, "add in place");
        CHECK(actual.intact());
        CHECK(expected.intact());
    }
}

TEST_CASE("relu clips, keeps NaN, and passes gradients where it is open") {
    for (const std::int64_t count : kCounts) {
        CAPTURE(count);
        auto x = random_values(count);
        const auto dy = random_values(count);
        x[count / 2] = 0;
        Guarded<float> actual(count), expected(count);
        cpu::relu_forward(x.data(), count, actual.data());
        reference::relu_forward(x.data(), count, expected.data());
        check_close(actual, expected, 0, 1e-30, "y");

        const auto y = std::vector<float>(expected.data(), expected.data() + count);
        cpu::relu_backward(dy.data(), y.data(), count, actual.data());
        reference::relu_backward(dy.data(), x.data(), count, expected.data());
        check_close(actual, expected, 0, 1e-30, "dx from the output, or from the input");
        auto in_place = dy;
        cpu::relu_backward(in_place.data(), y.data(), count, in_place.data());
        check_close(in_place, expected, 0, 1e-30, "dx in place");
        CHECK(actual.intact());
    }
    const float x[] = {kNaN, -1, 0, 2};
    float y[4];
    for (const auto relu : {cpu::relu_forward, reference::relu_forward}) {
        relu(x, 4, y);
        CHECK(std::isnan(y[0]));
        CHECK(y[1] == 0);
        CHECK(y[2] == 0);
        CHECK(y[3] == 2);
    }
}

TEST_CASE("row sums and row additions equal the reference for every width") {
    for (const std::int64_t columns : {1, 3, 7, 16, 24, 63, 64, 100, 512})
        for (const std::int64_t rows : {1, 2, 9, 640, 4099}) {
            CAPTURE(rows);
            CAPTURE(columns);
            const auto x = random_integers(rows * columns), row = random_values(columns);
            Guarded<float> actual(columns), expected(columns);
            cpu::sum_rows(x.data(), rows, columns, actual.data());
            reference::sum_rows(x.data(), rows, columns, expected.data());
            check_close(actual, expected, 0, 1e-30, "sums");
            CHECK(actual.intact());

            Guarded<float> y(rows * columns), y_expected(rows * columns);
            cpu::add_row(x.data(), row.data(), rows, columns, y.data());
            reference::add_row(x.data(), row.data(), rows, columns, y_expected.data());
            check_close(y, y_expected, 0, 1e-30, "y");
            CHECK(y.intact());
            auto in_place = x;
            cpu::add_row(in_place.data(), row.data(), rows, columns, in_place.data());
            check_close(in_place, y_expected, 0, 1e-30, "y in place");
        }
}

TEST_CASE("row sums keep their accuracy over many rows") {
    const std::int64_t rows = 200000;
    const std::vector<float> x(rows, 0.1f);
    float sum = 0;
    cpu::sum_rows(x.data(), rows, 1, &sum);
    CHECK(sum == doctest::Approx(static_cast<double>(0.1f) * rows).epsilon(4e-6));
}

TEST_CASE("sums of squares are double sums") {
    for (const std::int64_t count : kCounts) {
        CAPTURE(count);
        const auto x = random_values(count);
        double actual = -1, expected = -2, again = -3;
        cpu::sum_of_squares(x.data(), count, &actual);
        reference::sum_of_squares(x.data(), count, &expected);
        cpu::sum_of_squares(x.data(), count, &again);
        CHECK(std::fabs(actual - expected) <= 1e-12 * expected);
        CHECK(actual == again);
    }
    auto x = random_values(100);
    x[57] = kNaN;
    double result = 0;
    cpu::sum_of_squares(x.data(), 100, &result);
    CHECK(std::isnan(result));
}

TEST_CASE("row sums do not depend on luck with threads") {
    const std::int64_t rows = 30011, columns = 10;
    const auto x = random_integers(rows * columns);
    std::vector<float> expected(columns), actual(columns);
    reference::sum_rows(x.data(), rows, columns, expected.data());
    const int threads = omp_get_max_threads();
    for (const int count : {1, 2, 3, 7}) {
        omp_set_num_threads(count);
        cpu::sum_rows(x.data(), rows, columns, actual.data());
        check_close(actual, expected, 0, 1e-30, "sums");
    }
    omp_set_num_threads(threads);
}
