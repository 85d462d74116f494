#include "kernels/polarizer/batch_statistics.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// Samples and parameters. With several classes the last one has no sample.
struct Case {
    PolarizerShape shape;
    std::vector<float> z, dout, weight, gamma, beta, running_mean, running_variance;
    std::vector<std::int32_t> labels;

    explicit Case(const PolarizerShape& s, float shift = 0)
        : shape(s),
          z(random_values(s.n * s.positions * s.channels, 1, shift)),
          dout(random_values(s.n * s.positions * s.channels)),
          // So that a sum of C products is about 1 in size.
          weight(random_values(s.classes * s.channels * s.channels,
                               1 / std::sqrt(static_cast<float>(s.channels)))),
          gamma(random_values(s.classes * s.channels, 0.3f, 1)),
          beta(random_values(s.classes * s.channels)),
          running_mean(random_values(s.classes * s.channels)),
          running_variance(random_values(s.classes * s.channels, 0.1f, 1)),
          labels(random_labels(
              s.n, static_cast<std::int32_t>(std::max<std::int64_t>(s.classes - 1, 1)))) {}

    std::int64_t activations() const { return shape.n * shape.positions * shape.channels; }
    std::int64_t vectors() const { return shape.classes * shape.channels; }
};

struct Forward {
    Guarded<float> u, mean, inv_std, out, running_mean, running_variance;
    explicit Forward(const Case& c)
        : u(c.activations()),
          mean(c.vectors()),
          inv_std(c.vectors()),
          out(c.activations()),
          running_mean(c.running_mean),
          running_variance(c.running_variance) {}
    bool intact() const {
        return u.intact() && mean.intact() && inv_std.intact() && out.intact() &&
               running_mean.intact() && running_variance.intact();
    }
};

// The kernel takes a structure of pointers, which must be pointers to the backend's memory.
template <class Function>
void forward(const Implementation<Function>& run, const Case& c, Forward& r) {
    Staging staging(run.memory);
    const PolarizerBatchNorm norm{.weight = staging.pass(c.weight),
                                  .gamma = staging.pass(c.gamma),
                                  .beta = staging.pass(c.beta),
                                  .running_mean = staging.pass(r.running_mean),
                                  .running_variance = staging.pass(r.running_variance)};
    run.function(c.shape, staging.pass(c.z), staging.pass(c.labels), norm, staging.pass(r.u),
                 staging.pass(r.mean), staging.pass(r.inv_std), staging.pass(r.out));
    staging.finish();
}

struct Backward {
    Guarded<float> du, dgamma, dbeta;
    explicit Backward(const Case& c)
        : du(c.activations()), dgamma(c.vectors()), dbeta(c.vectors()) {}
    bool intact() const { return du.intact() && dgamma.intact() && dbeta.intact(); }
};

template <class Function>
void backward(const Implementation<Function>& run, const Case& c, const Forward& f, Backward& r) {
    Staging staging(run.memory);
    const PolarizerBatch<float> batch{staging.pass(f.u), staging.pass(f.mean),
                                      staging.pass(f.inv_std), staging.pass(c.gamma)};
    run.function(c.shape, staging.pass(c.dout), staging.pass(c.labels), batch, staging.pass(r.du),
                 staging.pass(r.dgamma), staging.pass(r.dbeta));
    staging.finish();
}

std::vector<PolarizerShape> shapes() {
    return {
        {.n = 23, .positions = 1, .channels = 1, .classes = 4},
        {.n = 23, .positions = 5, .channels = 7, .classes = 4},
        {.n = 23, .positions = 16, .channels = 64, .classes = 4},
        {.n = 40, .positions = 150, .channels = 33, .classes = 3},
        {.n = 37, .positions = 16, .channels = 24, .classes = 1},
        {.n = 9, .positions = 4, .channels = 130, .classes = 2},
        {.n = 300, .positions = 5, .channels = 4, .classes = 43},
    };
}

}  // namespace

TEST_CASE("polarizer batch statistics: forward equals the reference") {
    for (const PolarizerShape& shape : shapes())
        for (const float shift :
             {0.0f, 30.0f}) {  // the second: a mean far larger than the deviation
            CAPTURE(shape.channels);
            CAPTURE(shape.positions);
            CAPTURE(shift);
            const Case c(shape, shift);
            Forward expected(c);
            forward(CNPD_REFERENCE(polarizer_batch_forward<float>), c, expected);
            for (const auto& run : CNPD_IMPLEMENTATIONS(polarizer_batch_forward)) {
                if (run.too_slow_for(c.activations() * shape.channels)) continue;
                INFO(run.backend);
                Forward r(c);
                forward(run, c, r);
                // Sums of C products of 1 + shift over sqrt(C): their rounding error is absolute
                // and affects all later results; a class with few rows may have a small deviation.
                const double of_u = 2e-6 * (1 + shift);
                check_close(r.u, expected.u, 1e-5, of_u, "u");
                check_close(r.mean, expected.mean, 1e-5, of_u, "mean");
                check_close(r.inv_std, expected.inv_std, 2e-3, 0, "inv_std");
                if (shape.n * shape.positions > 100 * shape.classes) {
                    check_close(r.inv_std, expected.inv_std, 20 * of_u, 0, "inv_std");
                    check_close(r.out, expected.out, 1e-4, 20 * of_u, "out");
                }
                check_close(r.running_mean, expected.running_mean, 1e-5, of_u, "running mean");
                check_close(r.running_variance, expected.running_variance, 1e-5, 10 * of_u,
                            "running variance");
                CHECK(r.intact());
                // The class without samples.
                if (shape.classes > 1)
                    for (std::int64_t i = c.vectors() - shape.channels; i < c.vectors(); ++i) {
                        CHECK(r.mean[i] == 0);
                        CHECK(r.inv_std[i] == 1);
                        CHECK(r.running_mean[i] == c.running_mean[i]);
                        CHECK(r.running_variance[i] == c.running_variance[i]);
                    }
            }
        }
}

TEST_CASE("polarizer batch statistics: each class's output has its shift and scale") {
    const PolarizerShape shape{.n = 30, .positions = 7, .channels = 5, .classes = 3};
    const Case c(shape, 3);
    for (const auto& run : CNPD_WITH_REFERENCE(polarizer_batch_forward)) {
        INFO(run.backend);
        Forward r(c);
        forward(run, c, r);
        for (std::int64_t y = 0; y < 2; ++y)
            for (std::int64_t i = 0; i < shape.channels; ++i) {
                double sum = 0, squares = 0, count = 0;
                for (std::int64_t n = 0; n < shape.n; ++n)
                    for (std::int64_t p = 0; p < shape.positions && c.labels[n] == y; ++p) {
                        const double v = r.out[(n * shape.positions + p) * shape.channels + i];
                        sum += v;
                        squares += v * v;
                        ++count;
                    }
                const std::int64_t at = y * shape.channels + i;
                const double mean = sum / count;
                CHECK(mean == doctest::Approx(c.beta[at]).epsilon(1e-4).scale(1));
                CHECK(std::sqrt(squares / count - mean * mean) ==
                      doctest::Approx(std::fabs(c.gamma[at])).epsilon(1e-3));
            }
    }
}

TEST_CASE("polarizer batch statistics: backward equals the reference") {
    for (const PolarizerShape& shape : shapes()) {
        CAPTURE(shape.channels);
        CAPTURE(shape.positions);
        const Case c(shape);
        Forward f(c);
        forward(CNPD_REFERENCE(polarizer_batch_forward<float>), c, f);
        // As if every class had a single row: its deviation is 0 and du a difference of equal
        // numbers.
        for (std::int64_t i = 0; i < c.vectors(); ++i) f.inv_std[i] = std::min(f.inv_std[i], 10.0f);
        Backward expected(c);
        backward(CNPD_REFERENCE(polarizer_batch_backward<float>), c, f, expected);
        for (const auto& run : CNPD_IMPLEMENTATIONS(polarizer_batch_backward)) {
            INFO(run.backend);
            Backward r(c);
            backward(run, c, f, r);
            // Rounding of a sum of the class's rows, of numbers of up to about 5, times inv_std.
            const double rows = static_cast<double>(shape.n * shape.positions);
            const double of_sums = 5e-7 * std::sqrt(rows);
            check_close(r.dgamma, expected.dgamma, 1e-5, 10 * of_sums, "dgamma");
            check_close(r.dbeta, expected.dbeta, 1e-5, of_sums, "dbeta");
            check_close(r.du, expected.du, 1e-5, 2e-4, "du");
            CHECK(r.intact());
            if (shape.classes > 1)
                for (std::int64_t i = c.vectors() - shape.channels; i < c.vectors(); ++i) {
                    CHECK(r.dgamma[i] == 0);
                    CHECK(r.dbeta[i] == 0);
                }
        }
    }
}

TEST_CASE("polarizer batch statistics: the reference's backward is the derivative of its forward") {
    // u is z with the identity as weight.
    const PolarizerShape shape{.n = 7, .positions = 2, .channels = 2, .classes = 2};
    Case c(shape);
    c.weight = {1, 0, 0, 1, 1, 0, 0, 1};
    c.labels = {0, 1, 1, 0, 0, 1, 0};
    const auto loss = [&] {
        Forward f(c);
        forward(CNPD_REFERENCE(polarizer_batch_forward<float>), c, f);
        double sum = 0;
        for (std::int64_t i = 0; i < c.activations(); ++i) sum += double{c.dout[i]} * f.out[i];
        return sum;
    };
    Forward f(c);
    forward(CNPD_REFERENCE(polarizer_batch_forward<float>), c, f);
    Backward r(c);
    backward(CNPD_REFERENCE(polarizer_batch_backward<float>), c, f, r);
    check_slopes(c.z, r.du, loss, 1.0f / 256, 2e-3);
    check_slopes(c.gamma, r.dgamma, loss, 1.0f / 256, 2e-3);
    check_slopes(c.beta, r.dbeta, loss, 1.0f / 256, 2e-3);
}
