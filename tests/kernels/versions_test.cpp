// The simple versions of kernels, for the ladder, against the reference. Those of the polarizer are
// in polarizer_inference_test.cpp.
#include "tests/support/backends.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/batch_norm/versions/versions.h"
#include "kernels/convolution/versions/versions.h"
#include "kernels/pgd/versions/versions.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

TEST_CASE("versions: the PGD step in several passes agrees with the reference") {
    const std::vector<float> mean{0.5f, 0.4f, 0.3f}, inverse_std{4.0f, 4.1f, 3.9f};
    const std::int64_t n = 3, pixels = 37, count = n * pixels * 3;
    const std::vector<float> x(count, 0.5f), dinput = random_values(count);
    const auto settings = [&](float radius) {
        return staged([&, radius](Staging& staging) {
            return PgdSettings{.n = n,
                               .pixels = pixels,
                               .radius = radius,
                               .mean = staging.pass(mean),
                               .inverse_std = staging.pass(inverse_std)};
        });
    };
    for (const float radius : {0.5f, 100.0f}) {
        Guarded<float> expected(x), expected_input(count);
        reference_implementation (&reference::pgd_step<float>)(settings(radius), x, dinput,
                                                               expected, expected_input);
        for (const auto& function : device_implementations(&cuda::pgd_step_v1)) {
            Guarded<float> actual(x), input(count);
            function(settings(radius), x, dinput, actual, input);
            check_close(actual, expected, 0, 2e-6, "adversarial");
            check_close(input, expected_input, 0, 1e-5, "input");
            CHECK(actual.intact());
            CHECK(input.intact());
        }
    }
}

TEST_CASE("versions: batch norm's statistics by a thread a channel agree with the reference") {
    const std::int64_t rows = 131, channels = 37;
    const std::vector<float> x = random_values(rows * channels, 2, 3);
    std::vector<float> mean(channels), variance(channels);
    reference::batch_norm_statistics(x.data(), rows, channels, mean.data(), variance.data());
    for (const auto& function : device_implementations(&cuda::batch_norm_statistics_v1)) {
        Guarded<float> actual_mean(channels), actual_variance(channels);
        function(x, rows, channels, actual_mean, actual_variance);
        check_close(actual_mean, mean, 1e-5, 1e-5, "mean");
        check_close(actual_variance, variance, 1e-5, 1e-5, "variance");
        CHECK(actual_mean.intact());
        CHECK(actual_variance.intact());
    }
}

TEST_CASE("versions: the convolution as in its definition agrees with the reference") {
    for (const ConvolutionShape& shape :
         {ConvolutionShape{.n = 2, .h = 5, .w = 7, .c = 3, .k = 5, .r = 3, .s = 3, .pad = 1},
          ConvolutionShape{.n = 1, .h = 6, .w = 5, .c = 4, .k = 33, .r = 2, .s = 3, .stride = 2}}) {
        const auto x = random_values(shape.n * shape.h * shape.w * shape.c);
        const auto filter = random_values(shape.k * shape.r * shape.s * shape.c);
        const std::int64_t outputs = shape.n * shape.out_h() * shape.out_w() * shape.k;
        std::vector<float> expected(outputs);
        reference::convolution_forward<float>(shape, x.data(), filter.data(), {}, expected.data());
        for (const auto& function : device_implementations(&cuda::convolution_forward_v1)) {
            Guarded<float> actual(outputs);
            function(shape, x, filter, actual);
            check_close(actual, expected, 1e-5, 1e-5, "y");
            CHECK(actual.intact());
        }
    }
}
#endif
