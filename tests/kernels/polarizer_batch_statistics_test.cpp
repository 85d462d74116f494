#include "kernels/polarizer/batch_statistics.h"

#include "tests/support/bfloat16.h"
#include "tests/support/polarizer.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// Samples and parameters. With several classes the last one has no sample.
struct Case {
    PolarizerShape shape;
    std::vector<float> z, dout, weight, gamma, beta, running_mean, running_variance;
    Samples samples;

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
          samples(random_samples(s)) {}

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
    const PolarizerBatchNorm norm{.gamma = staging.pass(c.gamma),
                                  .beta = staging.pass(c.beta),
                                  .running_mean = staging.pass(r.running_mean),
                                  .running_variance = staging.pass(r.running_variance)};
    run.function(c.shape, staging.pass(c.z), c.samples.in(staging), staging.pass(c.weight), norm,
                 staging.pass(r.u), staging.pass(r.mean), staging.pass(r.inv_std),
                 staging.pass(r.out));
    staging.finish();
}

struct Backward {
    Guarded<float> dz, dweight, dgamma, dbeta;
    explicit Backward(const Case& c)
        : dz(c.activations()),
          dweight(static_cast<std::int64_t>(c.weight.size())),
          dgamma(c.vectors()),
          dbeta(c.vectors()) {}
    bool intact() const {
        return dz.intact() && dweight.intact() && dgamma.intact() && dbeta.intact();
    }
};

template <class Function>
void backward(const Implementation<Function>& run, const Case& c, const Forward& f, Backward& r) {
    const std::vector<float> other_way = transposed_maps(c.weight, c.shape.channels);
    Staging staging(run.memory);
    const PolarizerBatch<float> batch{
        .z = staging.pass(c.z),
        .u = staging.pass(f.u),
        .mean = staging.pass(f.mean),
        .inv_std = staging.pass(f.inv_std),
        .gamma = staging.pass(c.gamma),
        .weight = {staging.pass(c.weight), nullptr, staging.pass(other_way)}};
    run.function(c.shape, staging.pass(c.dout), c.samples.in(staging), batch,
                 {staging.pass(r.dz), staging.pass(r.dweight), staging.pass(r.dgamma),
                  staging.pass(r.dbeta)});
    staging.finish();
}

std::vector<PolarizerShape> shapes() {
    return {
        {.n = 23, .positions = 1, .channels = 1, .classes = 4},
        {.n = 23, .positions = 5, .channels = 7, .classes = 4},
        {.n = 23, .positions = 16, .channels = 64, .classes = 4},
        {.n = 9, .positions = 150, .channels = 33, .classes = 3},
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
                    for (std::int64_t p = 0; p < shape.positions && c.samples.labels()[n] == y;
                         ++p) {
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
            // du of up to about 10 with an error of 2e-4, and its products with z and the weights.
            check_close(r.dz, expected.dz, 1e-5, 4e-4, "dz");
            check_close(r.dweight, expected.dweight, 1e-5, 2e-4 * std::sqrt(rows), "dweight");
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
    const PolarizerShape shape{.n = 7, .positions = 2, .channels = 2, .classes = 2};
    Case c(shape);
    c.samples = Samples(shape, {0, 1, 1, 0, 0, 1, 0});
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
    check_slopes(c.z, r.dz, loss, 1.0f / 256, 2e-3);
    check_slopes(c.weight, r.dweight, loss, 1.0f / 256, 2e-3);
    check_slopes(c.gamma, r.dgamma, loss, 1.0f / 256, 2e-3);
    check_slopes(c.beta, r.dbeta, loss, 1.0f / 256, 2e-3);
}

TEST_CASE("polarizer batch statistics: bfloat16") {
    for (const PolarizerShape& shape : shapes()) {
        CAPTURE(shape.channels);
        CAPTURE(shape.positions);
        Case c(shape);
        const Values z(c.z), dout(c.dout), weight(c.weight);
        c.z = z.exact;
        c.dout = dout.exact;
        c.weight = weight.exact;
        Forward f(c);
        forward(CNPD_REFERENCE(polarizer_batch_forward<float>), c, f);
        const auto activations = c.activations();
        for (const auto& run : CNPD_IN_BFLOAT16(polarizer_batch_forward)) {
            if (run.too_slow_for(activations * shape.channels)) continue;
            INFO(run.backend);
            Guarded<bfloat16> u(activations), out(activations);
            Guarded<float> mean(c.vectors()), inv_std(c.vectors());
            run(shape, z.stored, c.samples.on_backend(), weight.stored, staged([&](Staging& s) {
                    return PolarizerBatchNorm{.gamma = s.pass(c.gamma),
                                              .beta = s.pass(c.beta),
                                              .running_mean = nullptr,
                                              .running_variance = nullptr};
                }),
                u, mean, inv_std, out);
            check_rounded(u, {f.u.data(), f.u.data() + activations}, 2e-6, "u");
            check_close(mean, f.mean, 1e-5, 2e-6, "mean");
            check_close(inv_std, f.inv_std, 2e-3, 0, "inv_std");
            // The normalisation is applied to u after rounding: numbers up to 5, times gamma
            // inv_std.
            if (shape.n * shape.positions > 100 * shape.classes)
                check_rounded(out, {f.out.data(), f.out.data() + activations},
                              5 * 2 * 1.5 * kBfloat16Rounding, "out");
        }

        for (std::int64_t k = 0; k < c.vectors(); ++k) f.inv_std[k] = std::min(f.inv_std[k], 10.0f);
        const Values u(std::vector<float>(f.u.data(), f.u.data() + activations));
        std::copy(u.exact.begin(), u.exact.end(), f.u.data());
        Backward expected(c);
        backward(CNPD_REFERENCE(polarizer_batch_backward<float>), c, f, expected);
        const Values other_way(transposed_maps(c.weight, c.shape.channels));
        for (const auto& run : CNPD_IN_BFLOAT16(polarizer_batch_backward)) {
            INFO(run.backend);
            Guarded<bfloat16> dz(activations);
            Guarded<float> dweight(expected.dweight.size()), dgamma(c.vectors()),
                dbeta(c.vectors());
            run(shape, dout.stored, c.samples.on_backend(), staged([&](Staging& s) {
                    return PolarizerBatch<bfloat16>{
                        .z = s.pass(z.stored),
                        .u = s.pass(u.stored),
                        .mean = s.pass(std::as_const(f.mean)),
                        .inv_std = s.pass(std::as_const(f.inv_std)),
                        .gamma = s.pass(c.gamma),
                        .weight = {s.pass(weight.stored), nullptr, s.pass(other_way.stored)}};
                }),
                staged([&](Staging& s) {
                    return PolarizerBatchGradients<bfloat16>{s.pass(dz), s.pass(dweight),
                                                             s.pass(dgamma), s.pass(dbeta)};
                }));
            const double rows = static_cast<double>(shape.n * shape.positions);
            check_close(dgamma, expected.dgamma, 1e-5, 5e-6 * std::sqrt(rows), "dgamma");
            check_close(dbeta, expected.dbeta, 1e-5, 5e-7 * std::sqrt(rows), "dbeta");
            // The gradient of u, up to 10 gamma dout, is rounded before the products: the errors of
            // its elements add up like random numbers.
            const double of_du = 15 * kBfloat16Rounding;
            check_rounded(dz, {expected.dz.data(), expected.dz.data() + activations}, 3 * of_du,
                          "dz");
            check_close(dweight, expected.dweight, 1e-5, 3 * of_du * std::sqrt(rows), "dweight");
            CHECK(dz.intact());
            CHECK(dweight.intact());
        }
    }
}
