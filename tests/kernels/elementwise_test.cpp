#include "kernels/elementwise/elementwise.h"

#include <omp.h>

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const std::int64_t kCounts[] = {0, 1, 7, 64, 1009, 100003};
// More elements than any grid has threads, with one or four per thread.
const std::int64_t kManyElements = 132 * 32 * 256 + 259, kManyPacks = 4 * kManyElements + 3;
const float kNaN = std::numeric_limits<float>::quiet_NaN();

// Small integers: their float sums are exact, so that the tolerance cannot hide a missing element.
std::vector<float> random_integers(std::int64_t count) {
    auto values = random_values(count, 4);
    for (float& value : values) value = std::round(value);
    return values;
}

}  // namespace

TEST_CASE("fill, scale and add equal the reference, in place and unaligned too") {
    for (const std::int64_t count : kCounts)
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(count);
            CAPTURE(offset);
            const Guarded<float> x(random_values(count), offset), y(random_values(count), offset);
            Guarded<float> actual(count, offset), expected(count);
            reference::fill(expected.data(), count, -3.5f);
            for (const auto& fill : CNPD_IMPLEMENTATIONS(fill)) {
                INFO(fill.backend);
                fill(actual, count, -3.5f);
                check_close(actual, expected, 0, 1e-30, "fill");
                CHECK(actual.intact());
            }
            reference::scale(x.data(), count, 1.7f, expected.data());
            for (const auto& scale : CNPD_IMPLEMENTATIONS(scale)) {
                INFO(scale.backend);
                scale(x, count, 1.7f, actual);
                check_close(actual, expected, 0, 1e-30, "scale");
                CHECK(actual.intact());
            }
            for (const auto& scale_by : CNPD_IMPLEMENTATIONS(scale_by)) {
                INFO(scale_by.backend);
                scale_by(x, count, std::vector<float>{1.7f}, actual);
                check_close(actual, expected, 0, 1e-30, "scale_by");
                CHECK(actual.intact());
            }
            reference::add(x.data(), y.data(), count, expected.data());
            for (const auto& add : CNPD_IMPLEMENTATIONS(add)) {
                INFO(add.backend);
                add(x, y, count, actual);
                check_close(actual, expected, 0, 1e-30, "add");
                CHECK(actual.intact());
                auto in_place = y;
                add(x, in_place, count, in_place);
                check_close(in_place, expected, 0, 1e-30, "add in place");
                CHECK(in_place.intact());
            }
            CHECK(expected.intact());
        }
}

TEST_CASE("ranges longer than a grid have no gaps") {
    for (const auto& [count, offset] : {std::pair{kManyPacks, 0}, std::pair{kManyElements, 1}}) {
        CAPTURE(count);
        const Guarded<float> x(random_values(count), offset);
        Guarded<float> expected(count);
        reference::scale(x.data(), count, -0.3f, expected.data());
        for (const auto& scale : CNPD_IMPLEMENTATIONS(scale)) {
            INFO(scale.backend);
            Guarded<float> actual(count, offset);
            scale(x, count, -0.3f, actual);
            check_close(actual, expected, 0, 1e-30, "scale");
            CHECK(actual.intact());
        }
    }
}

TEST_CASE("buffers of different alignment are added element by element") {
    const std::int64_t count = 1009;
    const Guarded<float> x(random_values(count), 1), y(random_values(count), 3);
    Guarded<float> expected(count);
    reference::add(x.data(), y.data(), count, expected.data());
    for (const auto& add : CNPD_IMPLEMENTATIONS(add)) {
        INFO(add.backend);
        Guarded<float> actual(count);
        add(x, y, count, actual);
        check_close(actual, expected, 0, 1e-30, "add");
        CHECK(actual.intact());
    }
}

TEST_CASE("relu clips, keeps NaN, and passes gradients where it is active") {
    for (const std::int64_t count : kCounts)
        for (const std::int64_t offset : {0, 1}) {
            if (count == 0) continue;
            CAPTURE(count);
            CAPTURE(offset);
            Guarded<float> x(random_values(count), offset), expected(count, offset),
                dx_expected(count, offset);
            const Guarded<float> dy(random_values(count), offset);
            x[count / 2] = 0;
            reference::relu_forward(x.data(), count, expected.data());
            for (const auto& relu_forward : CNPD_IMPLEMENTATIONS(relu_forward)) {
                INFO(relu_forward.backend);
                Guarded<float> actual(count, offset);
                relu_forward(x, count, actual);
                check_close(actual, expected, 0, 1e-30, "y");
                CHECK(actual.intact());
            }
            reference::relu_backward(dy.data(), x.data(), count, dx_expected.data());
            for (const auto& relu_backward : CNPD_IMPLEMENTATIONS(relu_backward)) {
                INFO(relu_backward.backend);
                Guarded<float> actual(count, offset);
                relu_backward(dy, expected, count, actual);
                check_close(actual, dx_expected, 0, 1e-30, "dx from the output, or from the input");
                CHECK(actual.intact());
                auto in_place = dy;
                relu_backward(in_place, expected, count, in_place);
                check_close(in_place, dx_expected, 0, 1e-30, "dx in place");
            }
        }
    const std::vector<float> x = {kNaN, -1, 0, 2};
    for (const auto& relu : CNPD_WITH_REFERENCE(relu_forward)) {
        INFO(relu.backend);
        std::vector<float> y(4);
        relu(x, 4, y);
        CHECK(std::isnan(y[0]));
        CHECK(y[1] == 0);
        CHECK(y[2] == 0);
        CHECK(y[3] == 2);
    }
    const std::vector<float> dy = {1, 2, 3, kNaN};
    for (const auto& relu : CNPD_WITH_REFERENCE(relu_backward)) {
        INFO(relu.backend);
        std::vector<float> dx(4);
        relu(dy, x, 4, dx);
        CHECK(dx[0] == 0);  // blocked by the NaN
        CHECK(dx[1] == 0);
        CHECK(dx[2] == 0);
        CHECK(std::isnan(dx[3]));
    }
}

TEST_CASE("row sums and row additions equal the reference for every width") {
    for (const std::int64_t columns : {1, 3, 7, 16, 24, 63, 64, 100, 512, 1030})
        for (const std::int64_t rows : {0, 1, 2, 9, 640, 4099}) {
            const std::int64_t offset = rows == 640 ? 1 : 0;
            CAPTURE(rows);
            CAPTURE(columns);
            const Guarded<float> x(random_integers(rows * columns), offset),
                row(random_values(columns), offset);
            Guarded<float> expected(columns), y_expected(rows * columns);
            reference::sum_rows(x.data(), rows, columns, expected.data());
            for (const auto& sum_rows : CNPD_IMPLEMENTATIONS(sum_rows)) {
                INFO(sum_rows.backend);
                Guarded<float> actual(columns);
                sum_rows(x, rows, columns, actual);
                check_close(actual, expected, 0, 1e-30, "sums");
                CHECK(actual.intact());
            }
            reference::add_row(x.data(), row.data(), rows, columns, y_expected.data());
            for (const auto& add_row : CNPD_IMPLEMENTATIONS(add_row)) {
                INFO(add_row.backend);
                Guarded<float> y(rows * columns, offset);
                add_row(x, row, rows, columns, y);
                check_close(y, y_expected, 0, 1e-30, "y");
                CHECK(y.intact());
                auto in_place = x;
                add_row(in_place, row, rows, columns, in_place);
                check_close(in_place, y_expected, 0, 1e-30, "y in place");
            }
        }
}

TEST_CASE("row sums are accurate over many rows, and repeat") {
    const std::int64_t rows = 200000;
    const std::vector<float> x(rows, 0.1f);
    for (const auto& sum_rows : CNPD_IMPLEMENTATIONS(sum_rows)) {
        INFO(sum_rows.backend);
        std::vector<float> sum(1), again(1);
        sum_rows(x, rows, 1, sum);
        sum_rows(x, rows, 1, again);
        CHECK(sum[0] == doctest::Approx(static_cast<double>(0.1f) * rows).epsilon(4e-6));
        CHECK(sum == again);
    }
}

TEST_CASE("sums of squares are computed in double") {
    for (const std::int64_t count : {std::int64_t{0}, std::int64_t{1}, std::int64_t{7},
                                     std::int64_t{1009}, std::int64_t{100003}, kManyPacks})
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(count);
            CAPTURE(offset);
            const Guarded<float> x(random_values(count), offset);
            double expected = -2;
            reference::sum_of_squares(x.data(), count, &expected);
            for (const auto& sum_of_squares : CNPD_IMPLEMENTATIONS(sum_of_squares)) {
                INFO(sum_of_squares.backend);
                Guarded<double> actual(1), again(1);
                sum_of_squares(x, count, actual);
                sum_of_squares(x, count, again);
                CHECK(std::fabs(actual[0] - expected) <= 1e-12 * expected);
                CHECK(actual[0] == again[0]);
                CHECK(actual.intact());
            }
        }
    auto x = random_values(100);
    x[57] = kNaN;
    for (const auto& sum_of_squares : CNPD_IMPLEMENTATIONS(sum_of_squares)) {
        INFO(sum_of_squares.backend);
        std::vector<double> result(1);
        sum_of_squares(x, 100, result);
        CHECK(std::isnan(result[0]));
    }
}

TEST_CASE("row sums do not depend on the order of threads") {
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

TEST_CASE("accumulate() sums in double") {
    for (const std::int64_t count : {0, 1, 5, 300}) {
        const auto x = random_values(count);
        for (const auto& accumulate : CNPD_WITH_REFERENCE(accumulate)) {
            INFO(accumulate.backend);
            std::vector<double> sums(count, 1e9);
            accumulate(x, count, sums);
            accumulate(x, count, sums);
            for (std::int64_t i = 0; i < count; ++i) CHECK(sums[i] == 1e9 + x[i] + x[i]);
        }
    }
}

TEST_CASE("products equal the reference, in place and unaligned too") {
    for (const std::int64_t count : {0, 1, 5, 300, 4099})
        for (const std::int64_t offset : {0, 1}) {
            const Guarded<float> x(random_values(count), offset), y(random_values(count));
            Guarded<float> expected(count);
            reference::multiply(x.data(), y.data(), count, expected.data());
            for (const auto& multiply : CNPD_IMPLEMENTATIONS(multiply)) {
                INFO(multiply.backend);
                Guarded<float> z(count), in_place(x);
                multiply(x, y, count, z);
                multiply(in_place, y, count, in_place);
                check_close(z, expected, 0, 0, "product");
                check_close(in_place, expected, 0, 0, "in place");
                CHECK(z.intact());
            }
        }
}
