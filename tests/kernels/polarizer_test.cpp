#include "kernels/polarizer/polarizer.h"

#include <functional>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/common/error.h"
#include "tests/support/backends.h"

using namespace cnpd;
using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

struct Parameters {
    std::vector<float> weight, gamma, beta, mean, variance;

    Parameters(std::int64_t classes, std::int64_t channels)
        : weight(random_values(classes * channels * channels)),
          gamma(random_values(classes * channels, 0.5f, 1)),
          beta(random_values(classes * channels)),
          mean(random_values(classes * channels)),
          variance(random_values(classes * channels)) {
        for (float& value : variance) value = value * value + 1e-4f;
    }
    PolarizerParameters view() const {
        return {weight.data(), gamma.data(), beta.data(), mean.data(), variance.data(), 1e-5f};
    }
    auto on_device() const {
        return staged([this](Staging& staging) {
            return PolarizerParameters{staging.pass(weight),   staging.pass(gamma),
                                       staging.pass(beta),     staging.pass(mean),
                                       staging.pass(variance), 1e-5f};
        });
    }
};

// Samples with their maps. With several classes the last one has no sample.
struct Case {
    PolarizerShape shape;
    std::vector<float> z, dout, a, b, weights;
    std::vector<std::int32_t> labels;

    explicit Case(const PolarizerShape& s)
        : shape(s),
          z(random_values(s.n * s.positions * s.channels)),
          dout(random_values(s.n * s.positions * s.channels)),
          a(random_values(s.classes * s.channels * s.channels)),
          b(random_values(s.classes * s.channels)),
          weights(random_values(s.n)),
          labels(random_labels(
              s.n, static_cast<std::int32_t>(std::max<std::int64_t>(s.classes - 1, 1)))) {}
    std::int64_t activations() const { return static_cast<std::int64_t>(z.size()); }
};

std::vector<PolarizerShape> shapes() {
    std::vector<PolarizerShape> all;
    for (std::int64_t channels : {1, 7, 64, 130})
        for (std::int64_t positions : {1, 5, 16})
            all.push_back({.n = 23, .positions = positions, .channels = channels, .classes = 4});
    all.push_back({.n = 1, .positions = 3, .channels = 5, .classes = 2});
    all.push_back({.n = 40, .positions = 150, .channels = 33, .classes = 3});
    all.push_back({.n = 37, .positions = 16, .channels = 24, .classes = 1});
    return all;
}

double dot(const std::vector<float>& x, const Guarded<float>& y) {
    double sum = 0;
    for (std::int64_t i = 0; i < y.size(); ++i) sum += double{x[i]} * y[i];
    return sum;
}

// A float sum of `terms` products of normal numbers: the error is some ulps of its size.
double sum_tolerance(std::int64_t terms) {
    return 4e-7 * static_cast<double>(terms + 10);
}

}  // namespace

TEST_CASE("polarizer: the fold is the convolution followed by batch norm") {
    const std::int64_t classes = 3, channels = 7;
    const Parameters parameters(classes, channels);
    Guarded<float> a(classes * channels * channels), b(classes * channels);
    reference::polarizer_fold(classes, channels, parameters.view(), a.data(), b.data());
    const auto z = random_values(channels);
    for (std::int64_t y = 0; y < classes; ++y)
        for (std::int64_t i = 0; i < channels; ++i) {
            const std::int64_t row = y * channels + i;
            double convolved = 0, folded = b[row];
            for (std::int64_t j = 0; j < channels; ++j) {
                convolved += double{parameters.weight[row * channels + j]} * z[j];
                folded += double{a[row * channels + j]} * z[j];
            }
            const double expected = (convolved - parameters.mean[row]) /
                                        std::sqrt(parameters.variance[row] + 1e-5) *
                                        parameters.gamma[row] +
                                    parameters.beta[row];
            CHECK(folded == doctest::Approx(expected).epsilon(1e-4));
        }
}

TEST_CASE("polarizer: fold and its backward agree with the reference") {
    for (std::int64_t channels : {1, 7, 64, 130}) {
        const std::int64_t classes = 3;
        const Parameters parameters(classes, channels);
        Guarded<float> expected_a(classes * channels * channels), expected_b(classes * channels);
        reference::polarizer_fold(classes, channels, parameters.view(), expected_a.data(),
                                  expected_b.data());
        for (const auto& fold : CNPD_IMPLEMENTATIONS(polarizer_fold)) {
            INFO(fold.backend);
            Guarded<float> a(expected_a.size()), b(expected_b.size());
            fold(classes, channels, parameters.on_device(), a, b);
            check_close(a, expected_a, 1e-6, 0, "a");
            check_close(b, expected_b, 1e-5, 1e-4, "b");
            for (const auto* output : {&a, &b}) CHECK(output->intact());
        }

        const auto da = random_values(expected_a.size()), db = random_values(expected_b.size());
        Guarded<float> expected_dweight(expected_a.size()), expected_dgamma(expected_b.size()),
            expected_dbeta(expected_b.size());
        reference::polarizer_fold_backward(classes, channels, parameters.view(), da.data(),
                                           db.data(), expected_dweight.data(),
                                           expected_dgamma.data(), expected_dbeta.data());
        for (const auto& fold_backward : CNPD_IMPLEMENTATIONS(polarizer_fold_backward)) {
            INFO(fold_backward.backend);
            Guarded<float> dweight(expected_a.size()), dgamma(expected_b.size()),
                dbeta(expected_b.size());
            fold_backward(classes, channels, parameters.on_device(), da, db, dweight, dgamma,
                          dbeta);
            check_close(dweight, expected_dweight, 1e-6, 0, "dweight");
            // 1 / std is at most 100 here.
            check_close(dgamma, expected_dgamma, 1e-5, 100 * sum_tolerance(channels), "dgamma");
            check_close(dbeta, expected_dbeta, 0, 1e-30, "dbeta");
            for (const auto* output : {&dweight, &dgamma, &dbeta}) CHECK(output->intact());
        }
    }
}

TEST_CASE("polarizer: the reference's fold backward is the derivative of its fold") {
    const std::int64_t classes = 2, channels = 5;
    Parameters parameters(classes, channels);
    for (float& value : parameters.variance) value += 0.25f;
    Guarded<float> a(classes * channels * channels), b(classes * channels);
    const auto da = random_values(a.size()), db = random_values(b.size());
    Guarded<float> dweight(a.size()), dgamma(b.size()), dbeta(b.size());
    reference::polarizer_fold_backward(classes, channels, parameters.view(), da.data(), db.data(),
                                       dweight.data(), dgamma.data(), dbeta.data());
    const auto loss = [&] {
        reference::polarizer_fold(classes, channels, parameters.view(), a.data(), b.data());
        return dot(da, a) + dot(db, b);
    };
    // The fold is linear in each parameter, so a wide difference is exact up to rounding.
    const auto check = [&](std::vector<float>& values, const Guarded<float>& gradient) {
        for (std::size_t i = 0; i < values.size(); ++i) {
            const float value = values[i];
            values[i] = value + 0.5f;
            const double above = loss();
            values[i] = value - 0.5f;
            const double width = double{value + 0.5f} - values[i];
            const double slope = (above - loss()) / width;
            values[i] = value;
            CHECK(gradient[static_cast<std::int64_t>(i)] ==
                  doctest::Approx(slope).epsilon(1e-5).scale(10));
        }
    };
    check(parameters.weight, dweight);
    check(parameters.gamma, dgamma);
    check(parameters.beta, dbeta);
}

TEST_CASE("polarizer: forward agrees with the reference") {
    for (const PolarizerShape& shape : shapes())
        for (bool weighted : {false, true})
            for (bool accumulate : {false, true}) {
                CAPTURE(shape.channels);
                CAPTURE(shape.positions);
                CAPTURE(weighted);
                CAPTURE(accumulate);
                const Case c(shape);
                const auto start = random_values(c.activations());
                Guarded<float> expected(c.activations());
                if (accumulate) std::copy(start.begin(), start.end(), expected.data());
                reference::polarizer_forward(shape, c.z.data(), c.labels.data(),
                                             weighted ? c.weights.data() : nullptr, accumulate,
                                             c.a.data(), c.b.data(), expected.data());
                for (const auto& forward : CNPD_IMPLEMENTATIONS(polarizer_forward)) {
                    INFO(forward.backend);
                    Guarded<float> out(c.activations());
                    if (accumulate) std::copy(start.begin(), start.end(), out.data());
                    if (weighted)
                        forward(shape, c.z, c.labels, c.weights, accumulate, c.a, c.b, out);
                    else
                        forward(shape, c.z, c.labels, nullptr, accumulate, c.a, c.b, out);
                    check_close(out, expected, 1e-5, sum_tolerance(shape.channels), "out");
                    CHECK(out.intact());
                }
            }
}

TEST_CASE("polarizer: a mixture is several weighted, accumulated passes") {
    const PolarizerShape shape{.n = 9, .positions = 4, .channels = 12, .classes = 3};
    const Case c(shape);
    std::vector<std::int32_t> second(c.labels);
    for (auto& label : second) label = (label + 1) % 3;
    Guarded<float> first_out(c.activations()), second_out(c.activations()), mixed(c.activations());
    const std::vector<float> quarter(9, 0.25f), rest(9, 0.75f);
    const auto pass = [&](const auto& labels, const float* weights, bool accumulate, float* out) {
        cpu::polarizer_forward(shape, c.z.data(), labels.data(), weights, accumulate, c.a.data(),
                               c.b.data(), out);
    };
    pass(c.labels, nullptr, false, first_out.data());
    pass(second, nullptr, false, second_out.data());
    pass(c.labels, quarter.data(), false, mixed.data());
    pass(second, rest.data(), true, mixed.data());
    for (std::int64_t i = 0; i < mixed.size(); ++i)
        CHECK(mixed[i] ==
              doctest::Approx(0.25 * first_out[i] + 0.75 * second_out[i]).epsilon(1e-5).scale(1));
}

TEST_CASE("polarizer: dgrad and wgrad agree with the reference") {
    for (const PolarizerShape& shape : shapes()) {
        CAPTURE(shape.channels);
        CAPTURE(shape.positions);
        const Case c(shape);
        Guarded<float> expected_dz(c.activations());
        reference::polarizer_dgrad(shape, c.dout.data(), c.labels.data(), c.a.data(),
                                   expected_dz.data());
        for (const auto& dgrad : CNPD_IMPLEMENTATIONS(polarizer_dgrad)) {
            INFO(dgrad.backend);
            Guarded<float> dz(c.activations());
            dgrad(shape, c.dout, c.labels, c.a, dz);
            check_close(dz, expected_dz, 1e-5, sum_tolerance(shape.channels), "dz");
            CHECK(dz.intact());
        }

        const auto maps = static_cast<std::int64_t>(c.a.size());
        const auto biases = static_cast<std::int64_t>(c.b.size());
        Guarded<float> expected_da(maps), expected_db(biases);
        reference::polarizer_wgrad(shape, c.z.data(), c.dout.data(), c.labels.data(),
                                   expected_da.data(), expected_db.data());
        for (const auto& wgrad : CNPD_IMPLEMENTATIONS(polarizer_wgrad)) {
            INFO(wgrad.backend);
            Guarded<float> da(maps), db(biases);
            wgrad(shape, c.z, c.dout, c.labels, da, db);
            const double tolerance = sum_tolerance(shape.n * shape.positions);
            check_close(da, expected_da, 1e-5, tolerance, "da");
            check_close(db, expected_db, 1e-5, tolerance, "db");
            CHECK(da.intact());
            CHECK(db.intact());
            // The class without samples: exactly zero.
            if (shape.classes > 1)
                for (std::int64_t i = biases - shape.channels; i < biases; ++i) {
                    CHECK(db[i] == 0);
                    CHECK(da[i * shape.channels] == 0);
                }
        }
    }
}

TEST_CASE("polarizer: the reference's dgrad and wgrad are the derivatives of its forward") {
    const PolarizerShape shape{.n = 5, .positions = 2, .channels = 3, .classes = 3};
    Case c(shape);
    const std::vector<float> ones(5, 1.0f);
    Guarded<float> dz(c.activations()), da(27), db(9), out(c.activations());
    reference::polarizer_dgrad(shape, c.dout.data(), c.labels.data(), c.a.data(), dz.data());
    reference::polarizer_wgrad(shape, c.z.data(), c.dout.data(), c.labels.data(), da.data(),
                               db.data());
    const auto loss = [&] {
        reference::polarizer_forward(shape, c.z.data(), c.labels.data(), ones.data(), false,
                                     c.a.data(), c.b.data(), out.data());
        return dot(c.dout, out);
    };
    const auto check = [&](std::vector<float>& values, const Guarded<float>& gradient) {
        for (std::size_t i = 0; i < values.size(); ++i) {
            const float value = values[i];
            values[i] = value + 1;
            const double above = loss();
            values[i] = value - 1;
            const double width = double{value + 1} - values[i];
            const double slope = (above - loss()) / width;
            values[i] = value;
            CHECK(gradient[static_cast<std::int64_t>(i)] ==
                  doctest::Approx(slope).epsilon(1e-5).scale(10));
        }
    };
    check(c.z, dz);
    check(c.a, da);
    check(c.b, db);
}

TEST_CASE("polarizer: one shared map needs no labels") {
    const PolarizerShape shape{.n = 6, .positions = 5, .channels = 8};
    const Case c(shape);
    const std::vector<std::int32_t> zeros(6, 0);
    Guarded<float> without(c.activations()), with(c.activations());
    Guarded<float> da_without(64), da_with(64), db_without(8), db_with(8);
    cpu::polarizer_forward(shape, c.z.data(), nullptr, nullptr, false, c.a.data(), c.b.data(),
                           without.data());
    reference::polarizer_forward(shape, c.z.data(), zeros.data(), nullptr, false, c.a.data(),
                                 c.b.data(), with.data());
    check_close(without, with, 1e-5, sum_tolerance(8), "out");
    cpu::polarizer_dgrad(shape, c.dout.data(), nullptr, c.a.data(), without.data());
    reference::polarizer_dgrad(shape, c.dout.data(), nullptr, c.a.data(), with.data());
    check_close(without, with, 1e-5, sum_tolerance(8), "dz");
    cpu::polarizer_wgrad(shape, c.z.data(), c.dout.data(), nullptr, da_without.data(),
                         db_without.data());
    reference::polarizer_wgrad(shape, c.z.data(), c.dout.data(), nullptr, da_with.data(),
                               db_with.data());
    check_close(da_without, da_with, 1e-5, sum_tolerance(30), "da");
    check_close(db_without, db_with, 1e-5, sum_tolerance(30), "db");
}

TEST_CASE("polarizer: a repeated call gives the same bits") {
    const PolarizerShape shape{.n = 61, .positions = 16, .channels = 70, .classes = 5};
    const Case c(shape);
    std::vector<float> first_out(c.z.size()), first_da(c.a.size()), first_db(c.b.size());
    std::vector<float> out(c.z.size()), da(c.a.size()), db(c.b.size());
    const auto run = [&](auto& o, auto& wa, auto& wb) {
        cpu::polarizer_forward(shape, c.z.data(), c.labels.data(), nullptr, false, c.a.data(),
                               c.b.data(), o.data());
        cpu::polarizer_wgrad(shape, c.z.data(), c.dout.data(), c.labels.data(), wa.data(),
                             wb.data());
    };
    run(first_out, first_da, first_db);
    for (int repeat = 0; repeat < 3; ++repeat) {
        run(out, da, db);
        CHECK(out == first_out);
        CHECK(da == first_da);
        CHECK(db == first_db);
    }
}

TEST_CASE("polarizer: a label without a map is refused") {
    const PolarizerShape shape{.n = 2, .positions = 1, .channels = 2, .classes = 2};
    Case c(shape);
    c.labels = {0, 2};
    Guarded<float> out(4);
    CHECK_THROWS_AS(cpu::polarizer_forward(shape, c.z.data(), c.labels.data(), nullptr, false,
                                           c.a.data(), c.b.data(), out.data()),
                    Error);
}
