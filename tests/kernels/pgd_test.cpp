#include "kernels/pgd/pgd.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/bfloat16.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const std::vector<float> kMean{0.49f, 0.48f, 0.45f, 0.4f, 0.51f},
    kInverseStd{4.05f, 4.1f, 3.8f, 4.2f, 3.9f};

auto on_device(const PgdSettings& settings, const std::vector<float>& mean,
               const std::vector<float>& inverse_std,
               const std::vector<std::int32_t>* stopped = nullptr) {
    return staged([&, stopped](Staging& staging) {
        PgdSettings placed = settings;
        placed.mean = staging.pass(mean);
        placed.inverse_std = staging.pass(inverse_std);
        if (stopped) placed.stopped = staging.pass(*stopped);
        return placed;
    });
}

struct Case {
    PgdSettings settings;
    std::vector<float> x, adversarial, dinput;

    explicit Case(const PgdSettings& s) : settings(s) {
        settings.mean = kMean.data();
        settings.inverse_std = kInverseStd.data();
        const std::int64_t count = s.n * s.pixels * s.channels;
        x = random_values(count, 0.4f, 0.5f);
        adversarial = random_values(count, 0.4f, 0.5f);
        for (auto* image : {&x, &adversarial})
            for (float& pixel : *image) pixel = std::clamp(pixel, 0.0f, 1.0f);
        dinput = random_values(count, 1e-3f);
    }
    std::int64_t sample_size() const { return settings.pixels * settings.channels; }
};

struct Result {
    Guarded<float> adversarial, input;
    explicit Result(const Case& c)
        : adversarial(static_cast<std::int64_t>(c.x.size())), input(adversarial.size()) {
        std::copy(c.adversarial.begin(), c.adversarial.end(), adversarial.data());
    }
};

template <class Function>
Result run(const Function& function, const Case& c,
           const std::vector<std::int32_t>* stopped = nullptr) {
    Result result(c);
    INFO(function.backend);
    function(on_device(c.settings, kMean, kInverseStd, stopped), c.x, c.dinput, result.adversarial,
             result.input);
    CHECK(result.adversarial.intact());
    CHECK(result.input.intact());
    return result;
}

double norm_of_difference(const Case& c, const Result& result, std::int64_t sample) {
    double sum = 0, largest = 0;
    for (std::int64_t i = 0; i < c.sample_size(); ++i) {
        const std::int64_t at = sample * c.sample_size() + i;
        const double d = std::fabs(double{result.adversarial[at]} - c.x[at]);
        sum += c.settings.norm == PgdNorm::l2 ? d * d : d;
        largest = std::max(largest, d);
    }
    if (c.settings.norm == PgdNorm::l2) return std::sqrt(sum);
    return c.settings.norm == PgdNorm::l1 ? sum : largest;
}

constexpr PgdGradient kForms[] = {PgdGradient::sign, PgdGradient::raw, PgdGradient::normalised};
constexpr PgdNorm kNorms[] = {PgdNorm::l2, PgdNorm::linf, PgdNorm::l1};

// A radius that is exceeded by the random images above, whose differences are about 0.45 per pixel.
float biting_radius(PgdNorm norm, std::int64_t count) {
    if (norm == PgdNorm::linf) return 0.1f;
    const auto pixels = static_cast<float>(count);
    return norm == PgdNorm::l2 ? 0.2f * std::sqrt(pixels) : 0.1f * pixels;
}

// Pixels and channels: elements one at a time, in accesses of 16 bytes, with channels that a
// thread keeps or has to change, and an image that does not fit shared memory.
constexpr std::pair<std::int64_t, std::int64_t> kShapes[] = {
    {1, 3}, {7, 1}, {40, 1}, {64, 3}, {1024, 3}, {50, 4}, {104, 5}, {9216, 3}};

}  // namespace

TEST_CASE(
    "pgd: every backend agrees with the reference, and the result is inside the ball and the box") {
    for (PgdGradient form : kForms)
        for (PgdNorm norm : kNorms)
            for (const auto& [pixels, channels] : kShapes)
                for (bool inside : {false, true}) {
                    CAPTURE(static_cast<int>(form));
                    CAPTURE(static_cast<int>(norm));
                    CAPTURE(pixels);
                    CAPTURE(channels);
                    const float radius = inside ? 1e6f : biting_radius(norm, pixels * channels);
                    const Case c({.n = 5,
                                  .pixels = pixels,
                                  .channels = channels,
                                  .gradient = form,
                                  .norm = norm,
                                  .step = 0.1f,
                                  .radius = radius});
                    const Result expected = run(CNPD_REFERENCE(pgd_step<float>), c);
                    for (const auto& function : CNPD_IMPLEMENTATIONS(pgd_step)) {
                        INFO(function.backend);
                        const Result actual = run(function, c);
                        check_close(actual.adversarial, expected.adversarial, 0, 2e-6,
                                    "adversarial");
                        check_close(actual.input, expected.input, 0, 1e-5, "input");
                        for (std::int64_t n = 0; n < c.settings.n; ++n)
                            CHECK(norm_of_difference(c, actual, n) <=
                                  radius + 1e-6 * static_cast<double>(c.sample_size()));
                        const float* first = actual.adversarial.data();
                        CHECK(std::all_of(first, first + actual.adversarial.size(),
                                          [](float pixel) { return pixel >= 0 && pixel <= 1; }));
                    }
                }
}

TEST_CASE("pgd: the first sign step moves every pixel by eta against the gradient") {
    Case c({.n = 3, .pixels = 10, .step = 0.1f, .radius = 100});
    c.adversarial = c.x;
    for (const auto& function : CNPD_WITH_REFERENCE(pgd_step)) {
        const Result result = run(function, c);
        for (std::int64_t i = 0; i < result.adversarial.size(); ++i) {
            const float step = c.dinput[i] > 0 ? -0.1f : 0.1f;
            const float expected = std::clamp(c.x[i] + step, 0.0f, 1.0f);
            CHECK(result.adversarial[i] == doctest::Approx(expected).epsilon(1e-6));
            CHECK(result.input[i] ==
                  doctest::Approx((expected - kMean[i % 3]) * kInverseStd[i % 3]).epsilon(1e-5));
        }
    }
}

TEST_CASE("pgd: the projection comes before the clip") {
    // d = (0.6, 0.8) has norm 1 and is halved to (0.3, 0.4), which the box clips to (0.1, 0.4).
    // Clipped first, it would be (0.1, 0.8) and then (0.062, 0.496).
    const std::vector<float> mean{0}, inverse_std{1};
    const PgdSettings settings{.n = 1,
                               .pixels = 2,
                               .channels = 1,
                               .gradient = PgdGradient::raw,
                               .norm = PgdNorm::l2,
                               .step = 1,
                               .radius = 0.5f};
    const std::vector<float> x{0.9f, 0.0f}, dinput{-0.6f, -0.8f};
    for (const auto& function : CNPD_WITH_REFERENCE(pgd_step)) {
        std::vector<float> adversarial = x;
        Guarded<float> input(2);
        INFO(function.backend);
        function(on_device(settings, mean, inverse_std), x, dinput, adversarial, input);
        CHECK(adversarial[0] == doctest::Approx(1.0));
        CHECK(adversarial[1] == doctest::Approx(0.4));
        CHECK(input[0] == adversarial[0]);
    }
}

TEST_CASE("pgd: the normalised step has the length eta for any size of the gradient") {
    for (float size : {1e-30f, 1e-3f, 1e10f}) {
        Case c({.n = 2,
                .pixels = 50,
                .gradient = PgdGradient::normalised,
                .step = 0.2f,
                .radius = 100});
        for (float& pixel : c.x) pixel = 0.5f;
        c.adversarial = c.x;
        for (float& value : c.dinput) value *= size;
        for (const auto& function : CNPD_IMPLEMENTATIONS(pgd_step)) {
            INFO(function.backend);
            const Result result = run(function, c);
            for (std::int64_t n = 0; n < 2; ++n)
                CHECK(norm_of_difference(c, result, n) == doctest::Approx(0.2).epsilon(1e-5));
        }
    }
}

TEST_CASE("pgd: a zero gradient moves nothing") {
    for (PgdGradient form : kForms)
        for (PgdNorm norm : kNorms) {
            Case c({.n = 2, .pixels = 6, .gradient = form, .norm = norm, .radius = 0.5f});
            c.adversarial = c.x;
            std::fill(c.dinput.begin(), c.dinput.end(), 0.0f);
            for (const auto& function : CNPD_WITH_REFERENCE(pgd_step))
                check_close(run(function, c).adversarial, c.x, 0, 1e-30, "adversarial");
        }
}

TEST_CASE("pgd: a negative step ascends") {
    Case c({.n = 1, .pixels = 4, .step = -0.1f});
    c.adversarial = c.x = std::vector<float>(12, 0.5f);
    for (const auto& function : CNPD_IMPLEMENTATIONS(pgd_step)) {
        const Result result = run(function, c);
        for (int i = 0; i < 12; ++i) CHECK((result.adversarial[i] > 0.5f) == (c.dinput[i] > 0));
    }
}

TEST_CASE("pgd: the L1 projection is the nearest point of the ball") {
    // The threshold is the root of sum max(|d| - t, 0) = radius, found here by bisection.
    Case c({.n = 6, .pixels = 21, .norm = PgdNorm::l1, .step = 0, .radius = 2});
    for (float& pixel : c.x) pixel = 0.5f;
    for (const auto& function : CNPD_WITH_REFERENCE(pgd_step)) {
        const Result result = run(function, c);
        for (std::int64_t n = 0; n < c.settings.n; ++n) {
            const std::int64_t start = n * c.sample_size();
            double low = 0, high = 1;
            for (int i = 0; i < 60; ++i) {
                const double middle = (low + high) / 2;
                double sum = 0;
                for (std::int64_t k = 0; k < c.sample_size(); ++k)
                    sum += std::max(
                        std::fabs(double{c.adversarial[start + k]} - c.x[start + k]) - middle, 0.0);
                (sum > 2 ? low : high) = middle;
            }
            for (std::int64_t k = start; k < start + c.sample_size(); ++k) {
                const double d = double{c.adversarial[k]} - c.x[k];
                const double nearest = std::copysign(std::max(std::fabs(d) - low, 0.0), d);
                CHECK(result.adversarial[k] - c.x[k] == doctest::Approx(nearest).epsilon(1e-5));
            }
            CHECK(norm_of_difference(c, result, n) == doctest::Approx(2).epsilon(1e-5));
        }
    }
}

TEST_CASE("pgd: a stopped step changes nothing but writes the network's input") {
    for (const PgdGradient form : kForms) {
        const Case c({.n = 3, .pixels = 7, .channels = 3, .gradient = form, .radius = 0.1f});
        const std::vector<std::int32_t> yes{1}, no{0};
        for (const auto& function : CNPD_WITH_REFERENCE(pgd_step)) {
            const Result rested = run(function, c, &yes);
            for (std::size_t i = 0; i < c.x.size(); ++i) {
                CHECK(rested.adversarial[i] == c.adversarial[i]);
                CHECK(rested.input[i] ==
                      doctest::Approx((c.adversarial[i] - kMean[i % 3]) * kInverseStd[i % 3]));
            }
            const Result moved = run(function, c, &no), always = run(function, c);
            for (std::size_t i = 0; i < c.x.size(); ++i) {
                CHECK(moved.adversarial[i] == always.adversarial[i]);
                CHECK(moved.input[i] == always.input[i]);
            }
        }
    }
}

namespace {

// adversarial and input after a step in bfloat16, from buffers `offset` elements into their memory.
struct RoundedResult {
    Guarded<float> adversarial;
    Guarded<bfloat16> input;
};
template <class Function>
RoundedResult run_rounded(const Function& function, const Case& c, const Values& dinput,
                          std::int64_t offset) {
    RoundedResult result{Guarded<float>(c.adversarial, offset),
                         Guarded<bfloat16>(dinput.size(), offset)};
    const Guarded<float> x(c.x, offset);
    const Guarded<bfloat16> gradient(dinput.stored, offset);
    function(on_device(c.settings, kMean, kInverseStd), x, gradient, result.adversarial,
             result.input);
    CHECK(result.adversarial.intact());
    CHECK(result.input.intact());
    return result;
}

}  // namespace

TEST_CASE("pgd: with bfloat16 activations only the network's input is rounded") {
    for (PgdGradient form : kForms)
        for (PgdNorm norm : kNorms)
            for (const auto& [pixels, channels] : kShapes)
                for (const std::int64_t offset : {0, 1}) {
                    CAPTURE(static_cast<int>(form));
                    CAPTURE(static_cast<int>(norm));
                    CAPTURE(pixels);
                    CAPTURE(channels);
                    CAPTURE(offset);
                    Case c({.n = 3,
                            .pixels = pixels,
                            .channels = channels,
                            .gradient = form,
                            .norm = norm,
                            .radius = biting_radius(norm, pixels * channels)});
                    const Values dinput(c.dinput);
                    c.dinput = dinput.exact;
                    const Result expected = run(CNPD_REFERENCE(pgd_step<float>), c);
                    const std::vector<float> expected_input(
                        expected.input.data(), expected.input.data() + expected.input.size());
                    for (const auto& function : CNPD_IN_BFLOAT16(pgd_step)) {
                        INFO(function.backend);
                        const RoundedResult actual = run_rounded(function, c, dinput, offset);
                        check_close(actual.adversarial, expected.adversarial, 0, 2e-6,
                                    "adversarial");
                        check_rounded(actual.input, expected_input, 1e-5, "input");
                    }
                }
}

TEST_CASE("pgd: an image that is not aligned for wide accesses gives the same result") {
    const Case c({.n = 3, .pixels = 64, .radius = 2});
    const Result expected = run(CNPD_REFERENCE(pgd_step<float>), c);
    for (const auto& function : CNPD_IMPLEMENTATIONS(pgd_step)) {
        INFO(function.backend);
        Guarded<float> adversarial(c.adversarial, 1), input(adversarial.size());
        function(on_device(c.settings, kMean, kInverseStd), c.x, c.dinput, adversarial, input);
        check_close(adversarial, expected.adversarial, 0, 2e-6, "adversarial");
        check_close(input, expected.input, 0, 1e-5, "input");
        CHECK(adversarial.intact());
        CHECK(input.intact());
    }
}
