#include "kernels/batch_norm/batch_norm.h"

#include <omp.h>

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

struct Shape {
    std::int64_t rows, channels;
};
const Shape kShapes[] = {{1, 1},   {1, 64},   {2, 3},   {7, 7},     {5, 65},    {97, 5},
                         {64, 16}, {1030, 8}, {33, 24}, {4099, 64}, {997, 100}, {60013, 3}};

// x [rows,C] and per-channel factors such that x * scale + shift is not close to 0, where rounding
// could change the ReLU.
struct Data {
    explicit Data(const Shape& shape)
        : x(random_values(shape.rows * shape.channels, 2, 0.5f)),
          dy(random_values(shape.rows * shape.channels)),
          add(random_values(shape.rows * shape.channels)),
          mean(random_values(shape.channels)),
          scale(random_values(shape.channels, 0.2f, 1)),
          shift(random_values(shape.channels)),
          a(random_values(shape.channels)),
          b(random_values(shape.channels)),
          c(random_values(shape.channels)) {
        for (std::size_t i = 0; i < x.size(); ++i) {
            const std::size_t k = i % shape.channels;
            if (std::fabs(x[i] * scale[k] + shift[k]) < 1e-4f) x[i] += 1;
        }
    }
    std::vector<float> x, dy, add, mean, scale, shift, a, b, c;
};

}  // namespace

TEST_CASE("batch norm statistics are accurate even far from zero") {
    struct Distribution {
        float mean, deviation;
    };
    for (const auto& [mean, deviation] :
         {Distribution{0, 1}, Distribution{1000, 1}, Distribution{-30000, 0.5f}})
        for (const auto& [rows, channels] : kShapes) {
            CAPTURE(mean);
            CAPTURE(rows);
            CAPTURE(channels);
            auto x = random_values(rows * channels, deviation, mean);
            x[0] += 20 * deviation;  // an outlier as first value, where sums begin
            Guarded<float> m_expected(channels), v_expected(channels);
            reference::batch_norm_statistics(x.data(), rows, channels, m_expected.data(),
                                             v_expected.data());
            for (const auto& statistics : CNPD_IMPLEMENTATIONS(batch_norm_statistics)) {
                INFO(statistics.backend);
                Guarded<float> m(channels), v(channels);
                statistics(x, rows, channels, m, v);
                // A float sum has at most 72 roundings of 2^-24 before it goes to double;
                // deviations are up to 20 as large as their standard deviation.
                check_close(m, m_expected, 2e-7, 4e-6 * deviation, "mean");
                check_close(v, v_expected, 2e-5, 1e-6 * deviation * deviation, "variance");
                CHECK(m.intact());
                CHECK(v.intact());
            }
        }
}

TEST_CASE("batch norm statistics of a constant and of NaN") {
    std::vector<float> x(100 * 3, 1e6f);
    x[50 * 3 + 1] = std::numeric_limits<float>::quiet_NaN();
    for (const auto& statistics : CNPD_IMPLEMENTATIONS(batch_norm_statistics)) {
        INFO(statistics.backend);
        std::vector<float> mean(3), variance(3);
        statistics(x, 100, 3, mean, variance);
        CHECK(mean[0] == 1e6f);
        CHECK(variance[0] == 0);
        CHECK(std::isnan(mean[1]));
        CHECK(std::isnan(variance[1]));
        CHECK(mean[2] == 1e6f);
    }
}

TEST_CASE("batch norm statistics repeat bit for bit, with any number of threads") {
    const std::int64_t rows = 9001, channels = 32;
    const auto x = random_values(rows * channels, 3, -2);
    std::vector<float> expected_mean(channels), expected_variance(channels);
    reference::batch_norm_statistics(x.data(), rows, channels, expected_mean.data(),
                                     expected_variance.data());
    const int threads = omp_get_max_threads();
    for (const int count : {1, 2, 5}) {
        omp_set_num_threads(count);
        std::vector<float> mean(channels), variance(channels), mean2(channels), variance2(channels);
        cpu::batch_norm_statistics(x.data(), rows, channels, mean.data(), variance.data());
        cpu::batch_norm_statistics(x.data(), rows, channels, mean2.data(), variance2.data());
        CHECK(mean == mean2);
        CHECK(variance == variance2);
        check_close(mean, expected_mean, 2e-7, 1.2e-5, "mean");
        check_close(variance, expected_variance, 2e-5, 0, "variance");
    }
    omp_set_num_threads(threads);
}

TEST_CASE("batch norm apply equals the reference, in place too") {
    for (const Shape& shape : kShapes)
        for (const bool relu : {false, true}) {
            const auto& [rows, channels] = shape;
            CAPTURE(rows);
            CAPTURE(channels);
            CAPTURE(relu);
            const Data data(shape);
            Guarded<float> expected(rows * channels);
            reference::batch_norm_apply(data.x.data(), rows, channels, data.scale.data(),
                                        data.shift.data(), relu, expected.data());
            for (const auto& apply : CNPD_IMPLEMENTATIONS(batch_norm_apply)) {
                INFO(apply.backend);
                Guarded<float> y(rows * channels);
                apply(data.x, rows, channels, data.scale, data.shift, relu, y);
                // Two roundings of numbers up to about 10.
                check_close(y, expected, 1.2e-7, 1.2e-6, "y");
                CHECK(y.intact());
                auto in_place = data.x;
                apply(in_place, rows, channels, data.scale, data.shift, relu, in_place);
                check_close(in_place, y, 0, 1e-30, "in place");
            }
        }
    const std::vector<float> nan{std::numeric_limits<float>::quiet_NaN()}, one{1};
    for (const auto& apply : CNPD_IMPLEMENTATIONS(batch_norm_apply)) {
        std::vector<float> y(1);
        apply(nan, 1, 1, one, one, true, y);
        CHECK(std::isnan(y[0]));
    }
}

TEST_CASE("batch norm backward sums equal the reference") {
    for (const Shape& shape : kShapes)
        for (const bool relu : {false, true}) {
            const auto& [rows, channels] = shape;
            CAPTURE(rows);
            CAPTURE(channels);
            CAPTURE(relu);
            Data data(shape);
            // Integers, so that sums are exact and a missing element is detected; + 0.5 keeps the
            // ReLU's input away from 0.
            for (auto* values : {&data.x, &data.dy, &data.mean, &data.shift})
                for (float& value : *values) value = std::round(value);
            for (float& value : data.shift) value += 0.5f;
            for (float& value : data.scale) value = 1;
            Guarded<float> g_expected(channels), gx_expected(channels);
            reference::batch_norm_backward_reduce(
                data.dy.data(), data.x.data(), rows, channels, data.mean.data(), data.scale.data(),
                data.shift.data(), relu, g_expected.data(), gx_expected.data());
            for (const auto& reduce : CNPD_IMPLEMENTATIONS(batch_norm_backward_reduce)) {
                INFO(reduce.backend);
                Guarded<float> g(channels), gx(channels);
                reduce(data.dy, data.x, rows, channels, data.mean, if_wanted(relu, data.scale),
                       if_wanted(relu, data.shift), relu, g, gx);
                check_close(g, g_expected, 0, 1e-30, "sum_g");
                check_close(gx, gx_expected, 0, 1e-30, "sum_gx");
                CHECK(g.intact());
                CHECK(gx.intact());
            }
        }
}

TEST_CASE("batch norm input gradient equals the reference, in every variant and in place") {
    for (const Shape& shape : kShapes)
        for (int variant = 0; variant < 8; ++variant) {
            const bool relu = variant & 1, training = variant & 2, with_add = variant & 4;
            const auto& [rows, channels] = shape;
            CAPTURE(rows);
            CAPTURE(channels);
            CAPTURE(variant);
            const Data data(shape);
            const auto run = [&](const auto& kernel, auto& dy, auto& add, auto& dx) {
                kernel(dy, if_wanted(relu || training, data.x), rows, channels,
                       if_wanted(relu, data.scale), if_wanted(relu, data.shift), relu, data.a,
                       if_wanted(training, data.b), if_wanted(training, data.c),
                       if_wanted(with_add, add), dx);
            };
            Guarded<float> expected(rows * channels);
            run(CNPD_REFERENCE(batch_norm_backward_input<float>), data.dy, data.add, expected);
            for (const auto& backward : CNPD_IMPLEMENTATIONS(batch_norm_backward_input)) {
                INFO(backward.backend);
                Guarded<float> dx(rows * channels);
                run(backward, data.dy, data.add, dx);
                // Three roundings of numbers up to about 40.
                check_close(dx, expected, 1.2e-7, 7e-6, "dx");
                CHECK(dx.intact());
                auto in_place = data.dy;
                run(backward, in_place, data.add, in_place);
                check_close(in_place, dx, 0, 1e-30, "dx in place of dy");
                if (!with_add) continue;
                in_place = data.add;
                run(backward, data.dy, in_place, in_place);
                check_close(in_place, dx, 0, 1e-30, "dx in place of add");
            }
        }
}

namespace {

constexpr std::int64_t kRows = 11, kChannels = 4;
constexpr double kEps = 1e-5;

// sum of w * relu(batch_norm(x)), the training formula, in double.
double training_loss(const std::vector<double>& x, const std::vector<double>& gamma,
                     const std::vector<double>& beta, const std::vector<float>& w) {
    double loss = 0;
    for (std::int64_t c = 0; c < kChannels; ++c) {
        double mean = 0, variance = 0;
        for (std::int64_t r = 0; r < kRows; ++r) mean += x[r * kChannels + c] / kRows;
        for (std::int64_t r = 0; r < kRows; ++r) {
            const double difference = x[r * kChannels + c] - mean;
            variance += difference * difference / kRows;
        }
        for (std::int64_t r = 0; r < kRows; ++r) {
            const double normalised = (x[r * kChannels + c] - mean) / std::sqrt(variance + kEps);
            loss += w[r * kChannels + c] * std::max(gamma[c] * normalised + beta[c], 0.0);
        }
    }
    return loss;
}

double central_difference(std::vector<double>& values, std::int64_t i, const auto& loss) {
    const double h = 1e-6, before = values[i];
    values[i] = before + h;
    const double above = loss();
    values[i] = before - h;
    const double below = loss();
    values[i] = before;
    return (above - below) / (2 * h);
}

}  // namespace

// The gradient of training from the two backward passes: with R rows,
//     a = scale,  b = -scale inv_std^2 sum_gx / R,  c = -scale sum_g / R - b mean.
TEST_CASE("the training gradient of the reference agrees with central differences") {
    const auto x = random_values(kRows * kChannels, 2, 3), w = random_values(kRows * kChannels);
    const auto gamma = random_values(kChannels, 0.3f, 1), beta = random_values(kChannels, 0.3f);
    float mean[kChannels], variance[kChannels], scale[kChannels], shift[kChannels], b[kChannels],
        c[kChannels];
    reference::batch_norm_statistics(x.data(), kRows, kChannels, mean, variance);
    std::vector<double> inv_std(kChannels);
    for (std::int64_t k = 0; k < kChannels; ++k) {
        inv_std[k] = 1 / std::sqrt(variance[k] + kEps);
        scale[k] = static_cast<float>(gamma[k] * inv_std[k]);
        shift[k] = beta[k] - mean[k] * scale[k];
    }
    std::vector<float> dbeta(kChannels), sum_gx(kChannels), dgamma(kChannels), dx(x.size());
    reference::batch_norm_backward_reduce(w.data(), x.data(), kRows, kChannels, mean, scale, shift,
                                          true, dbeta.data(), sum_gx.data());
    for (std::int64_t k = 0; k < kChannels; ++k) {
        dgamma[k] = static_cast<float>(sum_gx[k] * inv_std[k]);
        b[k] = static_cast<float>(-scale[k] * inv_std[k] * inv_std[k] * sum_gx[k] / kRows);
        c[k] = -scale[k] * dbeta[k] / kRows - b[k] * mean[k];
    }
    reference::batch_norm_backward_input(w.data(), x.data(), kRows, kChannels, scale, shift, true,
                                         scale, b, c, static_cast<const float*>(nullptr),
                                         dx.data());

    std::vector<double> xs(x.begin(), x.end()), gammas(gamma.begin(), gamma.end()),
        betas(beta.begin(), beta.end());
    const auto loss = [&] { return training_loss(xs, gammas, betas, w); };
    std::vector<double> expected;
    for (std::size_t i = 0; i < xs.size(); ++i)
        expected.push_back(central_difference(xs, static_cast<std::int64_t>(i), loss));
    check_close(dx, expected, 1e-5, 5e-6, "dx");
    expected.clear();
    for (std::int64_t k = 0; k < kChannels; ++k)
        expected.push_back(central_difference(gammas, k, loss));
    check_close(dgamma, expected, 1e-5, 5e-6, "dgamma");
    expected.clear();
    for (std::int64_t k = 0; k < kChannels; ++k)
        expected.push_back(central_difference(betas, k, loss));
    check_close(dbeta, expected, 1e-5, 5e-6, "dbeta");
}
