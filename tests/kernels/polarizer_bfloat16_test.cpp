// The polarizer's training kernels in bfloat16.
#include <utility>

#include "kernels/polarizer/batch_statistics.h"
#include "kernels/polarizer/polarizer.h"
#include "tests/support/bfloat16.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// 1, primes, whole and partial tiles and packs; with several classes the last one has no sample.
const PolarizerShape kPolarizers[] = {{.n = 1, .positions = 1, .channels = 1, .classes = 1},
                                      {.n = 23, .positions = 5, .channels = 7, .classes = 4},
                                      {.n = 23, .positions = 16, .channels = 64, .classes = 4},
                                      {.n = 9, .positions = 4, .channels = 136, .classes = 2},
                                      {.n = 37, .positions = 16, .channels = 24, .classes = 1}};

struct PolarizerCase {
    explicit PolarizerCase(const PolarizerShape& s)
        : z(random(s.n * s.positions * s.channels)),
          dout(random(z.size())),
          // So that sums of C products are about 1 in size.
          a(random_values(s.classes * s.channels * s.channels,
                          1 / std::sqrt(static_cast<float>(s.channels)))),
          b(random_values(s.classes * s.channels)),
          weights(random_values(s.n)),
          labels(random_labels(
              s.n, static_cast<std::int32_t>(std::max<std::int64_t>(s.classes - 1, 1)))) {}
    Values z, dout;
    std::vector<float> a, b, weights;
    std::vector<std::int32_t> labels;
};

double sum_tolerance(std::int64_t terms) {
    return 4e-7 * static_cast<double>(terms + 10);
}

}  // namespace

TEST_CASE("bfloat16 activations: the polarizer and its gradients") {
    for (const PolarizerShape& s : kPolarizers) {
        CAPTURE(s.channels);
        CAPTURE(s.positions);
        const PolarizerCase c(s);
        for (const bool mixed : {false, true}) {
            std::vector<float> expected = c.dout.exact;
            reference::polarizer_forward(s, c.z.exact.data(), c.labels.data(),
                                         mixed ? c.weights.data() : nullptr, mixed, c.a.data(),
                                         c.b.data(), expected.data());
            for (const auto& forward : CNPD_IN_BFLOAT16(polarizer_forward)) {
                INFO(forward.backend);
                Guarded<bfloat16> out(c.dout.stored);
                forward(s, c.z.stored, c.labels, if_wanted(mixed, c.weights), mixed, c.a, c.b, out);
                check_rounded(out, expected, sum_tolerance(s.channels), "out");
            }
        }
        std::vector<float> dz(c.z.exact.size()), da(c.a.size()), db(c.b.size());
        reference::polarizer_dgrad(s, c.dout.exact.data(), c.labels.data(), c.a.data(), dz.data());
        reference::polarizer_wgrad(s, c.z.exact.data(), c.dout.exact.data(), c.labels.data(),
                                   da.data(), db.data());
        for (const auto& dgrad : CNPD_IN_BFLOAT16(polarizer_dgrad)) {
            INFO(dgrad.backend);
            Guarded<bfloat16> actual(c.z.size());
            dgrad(s, c.dout.stored, c.labels, c.a, actual);
            check_rounded(actual, dz, sum_tolerance(s.channels), "dz");
        }
        for (const auto& wgrad : CNPD_IN_BFLOAT16(polarizer_wgrad)) {
            INFO(wgrad.backend);
            Guarded<float> of_a(static_cast<std::int64_t>(da.size())),
                of_b(static_cast<std::int64_t>(db.size()));
            wgrad(s, c.z.stored, c.dout.stored, c.labels, of_a, of_b);
            check_close(of_a, da, 1e-5, sum_tolerance(s.n * s.positions), "da");
            check_close(of_b, db, 1e-5, sum_tolerance(s.n * s.positions), "db");
            CHECK(of_a.intact());
            CHECK(of_b.intact());
        }
    }
}

TEST_CASE("bfloat16 activations: the polarizer with batch statistics") {
    for (const PolarizerShape& s : kPolarizers) {
        CAPTURE(s.channels);
        CAPTURE(s.positions);
        const PolarizerCase c(s);
        const auto vectors = s.classes * s.channels;
        const auto gamma = random_values(vectors, 0.3f, 1);
        Guarded<float> mean(vectors), inv_std(vectors);
        std::vector<float> u(c.z.exact.size()), out(u.size());
        const PolarizerBatchNorm norm{.weight = c.a.data(),
                                      .gamma = gamma.data(),
                                      .beta = c.b.data(),
                                      .running_mean = nullptr,
                                      .running_variance = nullptr};
        reference::polarizer_batch_forward(s, c.z.exact.data(), c.labels.data(), norm, u.data(),
                                           mean.data(), inv_std.data(), out.data());
        for (const auto& forward : CNPD_IN_BFLOAT16(polarizer_batch_forward)) {
            INFO(forward.backend);
            Guarded<bfloat16> of_u(c.z.size()), of_out(c.z.size());
            Guarded<float> m(vectors), i(vectors);
            forward(s, c.z.stored, c.labels, staged([&](Staging& staging) {
                        return PolarizerBatchNorm{.weight = staging.pass(c.a),
                                                  .gamma = staging.pass(gamma),
                                                  .beta = staging.pass(c.b),
                                                  .running_mean = nullptr,
                                                  .running_variance = nullptr};
                    }),
                    of_u, m, i, of_out);
            check_rounded(of_u, u, 2e-6, "u");
            check_close(m, mean, 1e-5, 2e-6, "mean");
            check_close(i, inv_std, 2e-3, 0, "inv_std");
            // The normalisation is applied to u after rounding: numbers up to 5, times gamma
            // inv_std.
            if (s.n * s.positions > 100)
                check_rounded(of_out, out, 5 * 2 * 1.5 * kBfloat16Rounding, "out");
        }

        // A class with a single row has a deviation of 0, and its du is a difference of equal
        // numbers.
        for (std::int64_t k = 0; k < vectors; ++k) inv_std[k] = std::min(inv_std[k], 10.0f);
        const Values seen(u);
        std::vector<float> du(u.size()), dgamma(vectors), dbeta(vectors);
        reference::polarizer_batch_backward(
            s, c.dout.exact.data(), c.labels.data(),
            PolarizerBatch<float>{seen.exact.data(), mean.data(), inv_std.data(), gamma.data()},
            du.data(), dgamma.data(), dbeta.data());
        for (const auto& backward : CNPD_IN_BFLOAT16(polarizer_batch_backward)) {
            INFO(backward.backend);
            Guarded<bfloat16> of_u(c.dout.stored);
            Guarded<float> of_gamma(vectors), of_beta(vectors);
            backward(s, of_u, c.labels, staged([&](Staging& staging) {
                         return PolarizerBatch<bfloat16>{
                             staging.pass(seen.stored), staging.pass(std::as_const(mean)),
                             staging.pass(std::as_const(inv_std)), staging.pass(gamma)};
                     }),
                     of_u, of_gamma, of_beta);
            const double of_sums = 5e-7 * std::sqrt(static_cast<double>(s.n * s.positions));
            check_close(of_gamma, dgamma, 1e-5, 10 * of_sums, "dgamma");
            check_close(of_beta, dbeta, 1e-5, of_sums, "dbeta");
            check_rounded(of_u, du, 2e-4, "du");
        }
    }
}
