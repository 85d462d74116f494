#include "kernels/optimizer/optimizer.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const std::int64_t kCounts[] = {0, 1, 5, 67, 100003};

// Three steps of three parameters, computed in double from PyTorch's formulas outside of this
// program.
const std::vector<float> kGradients[3] = {{0.5f, -1, 0.25f}, {0.1f, 0.2f, -0.3f}, {-0.4f, 0, 0.7f}};
const std::vector<float> kStart = {1, -2, 0.5f};

}  // namespace

TEST_CASE("sgd takes PyTorch's steps") {
    struct Known {
        float learning_rate, momentum, weight_decay;
        bool nesterov;
        std::vector<double> expected;
    };
    const Known known[] = {
        {0.1f, 0.9f, 5e-4f, false, {0.885229511874875, -1.7664570237497499, 0.41911300593743744}},
        {0.1f, 0.9f, 5e-4f, true, {0.8765751339117676, -1.7095430478235352, 0.3621312494558838}},
        {0.1f, 0, 5e-2f, false, {0.965623625, -1.89104725, 0.4276368125}},
    };
    for (const auto& step : CNPD_WITH_REFERENCE(sgd_step))
        for (const Known& k : known) {
            INFO(step.backend);
            std::vector<float> parameter = kStart;
            std::vector<float> velocity(3, std::numeric_limits<float>::quiet_NaN());
            for (int t = 0; t < 3; ++t) {
                const SgdSettings settings = {.learning_rate = k.learning_rate,
                                              .momentum = k.momentum,
                                              .weight_decay = k.weight_decay,
                                              .nesterov = k.nesterov,
                                              .first_step = t == 0};
                if (k.momentum != 0)
                    step(settings, kGradients[t], 3, parameter, velocity);
                else
                    step(settings, kGradients[t], 3, parameter, nullptr);
            }
            check_close(parameter, k.expected, 5e-7, 0, "parameter");
        }
}

TEST_CASE("adam takes PyTorch's steps") {
    for (const auto& step : CNPD_WITH_REFERENCE(adam_step)) {
        INFO(step.backend);
        std::vector<float> parameter = kStart, m(3, 0.0f), v(3, 0.0f);
        for (int t = 0; t < 3; ++t) {
            const AdamSettings settings = {
                .learning_rate = 0.01f, .weight_decay = 0.01f, .step = t + 1};
            step(settings, kGradients[t], 3, parameter, m, v);
        }
        check_close(
            parameter,
            std::vector<double>{0.9806862514483804, -1.9804744421256921, 0.4861295758062336}, 5e-7,
            0, "parameter");
    }
}

TEST_CASE("sgd equals the reference on every size, unaligned too") {
    for (const std::int64_t count : kCounts)
        for (int variant = 0; variant < 8; ++variant) {
            CAPTURE(count);
            CAPTURE(variant);
            const SgdSettings settings = {.learning_rate = 0.1f,
                                          .momentum = variant & 1 ? 0.9f : 0.0f,
                                          .weight_decay = 0.01f,
                                          .nesterov = (variant & 2) != 0,
                                          .first_step = (variant & 4) != 0};
            const auto gradient = random_values(count), p = random_values(count),
                       v = settings.first_step
                               ? std::vector<float>(count, std::numeric_limits<float>::quiet_NaN())
                               : random_values(count);  // NaN must not be read
            Guarded<float> expected_p(p), expected_v(v);
            reference::sgd_step(settings, gradient.data(), count, expected_p.data(),
                                expected_v.data());
            for (const auto& sgd_step : CNPD_IMPLEMENTATIONS(sgd_step))
                for (const std::int64_t offset : {0, 1}) {
                    INFO(sgd_step.backend);
                    CAPTURE(offset);
                    const Guarded<float> g(gradient, offset);
                    Guarded<float> actual_p(p, offset), actual_v(v, offset);
                    sgd_step(settings, g, count, actual_p, actual_v);
                    // A few roundings of numbers below 10.
                    check_close(actual_p, expected_p, 2e-7, 1e-6, "parameter");
                    if (settings.momentum != 0)
                        check_close(actual_v, expected_v, 2e-7, 1e-6, "velocity");
                    CHECK(actual_p.intact());
                    CHECK(actual_v.intact());
                }
        }
}

TEST_CASE("adam equals the reference on every size, unaligned too") {
    for (const std::int64_t count : kCounts)
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(count);
            CAPTURE(offset);
            std::vector<std::vector<float>> gradients;
            for (int step = 1; step <= 5; ++step) gradients.push_back(random_values(count));
            const auto start = random_values(count);
            const std::vector<float> zero(count, 0.0f);
            const auto settings = [](int step) {
                return AdamSettings{.learning_rate = 0.01f, .weight_decay = 0.1f, .step = step};
            };
            auto p_expected = start, m_expected = zero, v_expected = zero;
            for (int step = 1; step <= 5; ++step)
                reference::adam_step(settings(step), gradients[step - 1].data(), count,
                                     p_expected.data(), m_expected.data(), v_expected.data());
            for (const auto& adam_step : CNPD_IMPLEMENTATIONS(adam_step)) {
                INFO(adam_step.backend);
                Guarded<float> p(start, offset), m(zero, offset), v(zero, offset);
                for (int step = 1; step <= 5; ++step)
                    adam_step(settings(step), Guarded<float>(gradients[step - 1], offset), count, p,
                              m, v);
                check_close(m, m_expected, 1e-6, 1e-6, "m");
                check_close(v, v_expected, 2e-6, 1e-10, "v");
                // Steps of 0.01 in the direction m / sqrt(v), each right to about ten roundings.
                check_close(p, p_expected, 5e-7, 1e-6, "p");
                CHECK((p.intact() && m.intact() && v.intact()));
            }
        }
}
