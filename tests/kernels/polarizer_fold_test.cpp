#include "kernels/polarizer/polarizer.h"

#include <functional>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/bfloat16.h"
#include "tests/support/polarizer.h"

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

double dot(const std::vector<float>& x, const Guarded<float>& y) {
    double sum = 0;
    for (std::int64_t i = 0; i < y.size(); ++i) sum += double{x[i]} * y[i];
    return sum;
}

}  // namespace

TEST_CASE("polarizer: the fold is the convolution followed by batch norm") {
    const std::int64_t classes = 3, channels = 7;
    const Parameters parameters(classes, channels);
    Guarded<float> a(classes * channels * channels), b(classes * channels);
    reference::polarizer_fold<float>(classes, channels, parameters.view(), a.data(), nullptr,
                                     b.data());
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
        Guarded<float> expected_a(classes * channels * channels), expected_t(expected_a.size()),
            expected_b(classes * channels);
        reference::polarizer_fold<float>(classes, channels, parameters.view(), expected_a.data(),
                                         expected_t.data(), expected_b.data());
        for (const auto& fold : CNPD_IMPLEMENTATIONS(polarizer_fold)) {
            INFO(fold.backend);
            Guarded<float> a(expected_a.size()), transposed(expected_a.size()),
                b(expected_b.size()), alone(expected_a.size());
            fold(classes, channels, parameters.on_device(), a, transposed, b);
            check_close(a, expected_a, 1e-6, 0, "a");
            check_close(transposed, expected_t, 1e-6, 0, "transposed");
            check_close(b, expected_b, 1e-5, 1e-4, "b");
            for (const auto* output : {&a, &transposed, &b}) CHECK(output->intact());
            fold(classes, channels, parameters.on_device(), alone, nullptr, nullptr);
            check_close(alone, a, 0, 0, "a alone");
        }

        const auto da = random_values(expected_a.size()), db = random_values(expected_b.size());
        Guarded<float> expected_dweight(expected_a.size()), expected_dgamma(expected_b.size()),
            expected_shift(expected_b.size());
        reference::polarizer_fold_backward(classes, channels, parameters.view(), da.data(),
                                           expected_dweight.data(), expected_dgamma.data());
        reference::polarizer_shift_backward(classes * channels, parameters.view(), db.data(),
                                            expected_shift.data());
        for (const auto& fold_backward : CNPD_IMPLEMENTATIONS(polarizer_fold_backward)) {
            INFO(fold_backward.backend);
            Guarded<float> dweight(expected_a.size()), dgamma(expected_b.size());
            fold_backward(classes, channels, parameters.on_device(), da, dweight, dgamma);
            check_close(dweight, expected_dweight, 1e-6, 0, "dweight");
            // 1 / std is at most 100 here.
            check_close(dgamma, expected_dgamma, 1e-5, 100 * sum_tolerance(channels), "dgamma");
            for (const auto* output : {&dweight, &dgamma}) CHECK(output->intact());
        }
        for (const auto& shift_backward : CNPD_IMPLEMENTATIONS(polarizer_shift_backward)) {
            INFO(shift_backward.backend);
            Guarded<float> dgamma(expected_b.size());
            shift_backward(classes * channels, parameters.on_device(), db, dgamma);
            check_close(dgamma, expected_shift, 1e-6, 0, "dgamma");
            CHECK(dgamma.intact());
        }
    }
}

TEST_CASE("polarizer: maps in bfloat16 are rounded once") {
    const std::int64_t classes = 2, channels = 70;
    const Parameters parameters(classes, channels);
    std::vector<float> a(classes * channels * channels), transposed(a.size()),
        b(classes * channels);
    reference::polarizer_fold<float>(classes, channels, parameters.view(), a.data(),
                                     transposed.data(), b.data());
    for (const auto& fold : CNPD_IN_BFLOAT16(polarizer_fold)) {
        INFO(fold.backend);
        const auto count = static_cast<std::int64_t>(a.size());
        Guarded<bfloat16> of_a(count), of_transposed(count);
        Guarded<float> of_b(classes * channels);
        fold(classes, channels, parameters.on_device(), of_a, of_transposed, of_b);
        check_rounded(of_a, a, 0, "a");
        check_rounded(of_transposed, transposed, 0, "transposed");
        CHECK(of_b.intact());
    }
}

TEST_CASE("polarizer: the reference's fold backward is the derivative of its fold") {
    const std::int64_t classes = 2, channels = 5;
    Parameters parameters(classes, channels);
    for (float& value : parameters.variance) value += 0.25f;
    Guarded<float> a(classes * channels * channels), b(classes * channels);
    const auto da = random_values(a.size()), db = random_values(b.size());
    Guarded<float> dweight(a.size()), dgamma(b.size()), of_shift(b.size());
    reference::polarizer_fold_backward(classes, channels, parameters.view(), da.data(),
                                       dweight.data(), dgamma.data());
    reference::polarizer_shift_backward(classes * channels, parameters.view(), db.data(),
                                        of_shift.data());
    for (std::int64_t i = 0; i < b.size(); ++i) dgamma[i] += of_shift[i];
    const auto loss = [&] {
        reference::polarizer_fold<float>(classes, channels, parameters.view(), a.data(), nullptr,
                                         b.data());
        return dot(da, a) + dot(db, b);
    };
    // The fold is linear in each parameter, so a wide difference is exact up to rounding.
    check_slopes(parameters.weight, dweight, loss, 0.5f, 1e-4);
    check_slopes(parameters.gamma, dgamma, loss, 0.5f, 1e-4);
}
