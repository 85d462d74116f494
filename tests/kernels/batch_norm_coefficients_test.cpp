#include "kernels/batch_norm/coefficients.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// The last is more than a block.
const std::int64_t kChannels[] = {0, 1, 3, 64, 1000};

std::vector<float> random_positive(std::int64_t count) {
    auto values = random_values(count);
    for (float& value : values) value = 0.01f + value * value;
    return values;
}

}  // namespace

TEST_CASE("batch norm's scale and shift equal the reference") {
    for (const std::int64_t channels : kChannels) {
        CAPTURE(channels);
        const auto mean = random_values(channels), variance = random_positive(channels),
                   gamma = random_values(channels, 0.3f, 1), beta = random_values(channels);
        Guarded<float> inv_std_expected(channels), scale_expected(channels),
            shift_expected(channels);
        reference::batch_norm_coefficients(channels, mean.data(), variance.data(), gamma.data(),
                                           beta.data(), 1e-5f, inv_std_expected.data(),
                                           scale_expected.data(), shift_expected.data());
        for (const auto& coefficients : CNPD_IMPLEMENTATIONS(batch_norm_coefficients)) {
            INFO(coefficients.backend);
            Guarded<float> inv_std(channels), scale(channels), shift(channels);
            coefficients(channels, mean, variance, gamma, beta, 1e-5f, inv_std, scale, shift);
            check_close(inv_std, inv_std_expected, 2e-7, 0, "inv_std");
            check_close(scale, scale_expected, 3e-7, 0, "scale");
            // A few roundings of mean * scale, which is below 80.
            check_close(shift, shift_expected, 2e-7, 3e-5, "shift");
            CHECK((inv_std.intact() && scale.intact() && shift.intact()));
        }
        Guarded<float> alone_expected(channels);
        reference::batch_norm_inverse_std(channels, variance.data(), 1e-5f, alone_expected.data());
        CHECK(alone_expected.storage() == inv_std_expected.storage());
        for (const auto& inverse : CNPD_IMPLEMENTATIONS(batch_norm_inverse_std)) {
            INFO(inverse.backend);
            Guarded<float> inv_std(channels);
            inverse(channels, variance, 1e-5f, inv_std);
            check_close(inv_std, inv_std_expected, 2e-7, 0, "inv_std");
            CHECK(inv_std.intact());
        }
    }
}

TEST_CASE("batch norm's running statistics equal the reference") {
    for (const std::int64_t channels : kChannels)
        for (const std::int64_t rows : {1, 2, 4096}) {
            CAPTURE(channels);
            CAPTURE(rows);
            const auto mean = random_values(channels), variance = random_positive(channels),
                       mean_before = random_values(channels),
                       variance_before = random_positive(channels);
            Guarded<float> mean_expected(mean_before), variance_expected(variance_before);
            std::int64_t batches_expected = 6;
            reference::batch_norm_update_running(channels, rows, mean.data(), variance.data(), 0.1f,
                                                 mean_expected.data(), variance_expected.data(),
                                                 &batches_expected);
            CHECK(batches_expected == 7);
            for (const auto& update : CNPD_IMPLEMENTATIONS(batch_norm_update_running)) {
                INFO(update.backend);
                Guarded<float> running_mean(mean_before), running_variance(variance_before);
                std::vector<std::int64_t> batches{6};
                update(channels, rows, mean, variance, 0.1f, running_mean, running_variance,
                       batches);
                CHECK(batches.front() == 7);
                // A few roundings of numbers up to about 4 and 20.
                check_close(running_mean, mean_expected, 2e-7, 1e-6, "running mean");
                check_close(running_variance, variance_expected, 4e-7, 2e-6, "running variance");
                CHECK((running_mean.intact() && running_variance.intact()));
            }
        }
}

TEST_CASE("batch norm's backward coefficients equal the reference") {
    for (const std::int64_t channels : kChannels)
        for (const std::int64_t rows : {1, 7, 4096}) {
            CAPTURE(channels);
            CAPTURE(rows);
            const auto mean = random_values(channels), inv_std = random_positive(channels),
                       scale = random_values(channels, 0.3f, 1), sum_g = random_values(channels),
                       sums = random_values(channels);
            Guarded<float> gx_expected(sums), b_expected(channels), c_expected(channels);
            reference::batch_norm_backward_coefficients(
                channels, rows, mean.data(), inv_std.data(), scale.data(), sum_g.data(),
                gx_expected.data(), b_expected.data(), c_expected.data());
            for (const auto& coefficients :
                 CNPD_IMPLEMENTATIONS(batch_norm_backward_coefficients)) {
                INFO(coefficients.backend);
                Guarded<float> gx(sums), b(channels), c(channels);
                coefficients(channels, rows, mean, inv_std, scale, sum_g, gx, b, c);
                check_close(gx, gx_expected, 1.2e-7, 1e-30, "sum_gx");
                check_close(b, b_expected, 6e-7, 1e-30, "b");
                // Roundings of b * mean, which is below 3000 / rows.
                check_close(c, c_expected, 6e-7, 1e-3 / static_cast<double>(rows), "c");
                CHECK((gx.intact() && b.intact() && c.intact()));
            }
        }
}
