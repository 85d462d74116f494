#include "engine/schedule.h"

#include <cmath>

#include <doctest/doctest.h>

#include "tests/support/fixtures.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

// PyTorch computes the cosine schedule by repeated multiplication, which costs some ulp of the
// first rate.
constexpr double kRelative = 1e-12, kAbsolute = 1e-15;

void check_rates(const Schedule& schedule, const std::string& name) {
    const std::vector<double> expected =
        Fixture("schedules").in(name).values<double>("learning_rate");
    std::vector<double> rates;
    for (std::size_t step = 0; step < expected.size(); ++step)
        rates.push_back(schedule.learning_rate(static_cast<std::int64_t>(step)));
    check_close(rates, expected, kRelative, kAbsolute, name.c_str());
}

}  // namespace

TEST_CASE("schedules that are functions of the step") {
    check_rates(*cosine_schedule(0.01, 20), "cosine");
    check_rates(*multi_step_schedule(0.1, {3, 7, 8}), "multi_step");
    for (const double rate : {0.1, 0.15})
        for (const double warm_up : {0.3, 0.25})
            check_rates(
                *one_cycle_schedule({.max_rate = rate, .total_steps = 53, .warm_up = warm_up}),
                fmt::format("one_cycle_{}_{}", rate == 0.1 ? "1" : "15",
                            warm_up == 0.3 ? "3" : "25"));
    CHECK(constant_schedule(0.3)->learning_rate(1'000'000) == 0.3);
}

TEST_CASE("very short schedules stay finite") {
    for (const std::int64_t total : {0, 1, 2, 3}) {
        const auto one_cycle = one_cycle_schedule({.max_rate = 0.1, .total_steps = total});
        const auto cosine = cosine_schedule(0.1, total);
        for (std::int64_t step = 0; step <= total; ++step)
            for (const Schedule* schedule : {one_cycle.get(), cosine.get()}) {
                const double rate = schedule->learning_rate(step);
                CHECK(rate >= 0);
                CHECK(rate <= 0.1 * (1 + 1e-12));
            }
    }
}

TEST_CASE("the plateau schedule matches PyTorch's and resumes") {
    const Fixture f = Fixture("schedules").in("plateau");
    const std::vector<double> metrics = f.values<double>("metrics"),
                              expected = f.values<double>("learning_rate");
    auto schedule = plateau_schedule({.rate = 0.01});
    std::vector<double> rates;
    for (std::size_t step = 0; step < expected.size(); ++step) {
        rates.push_back(schedule->learning_rate(static_cast<std::int64_t>(step)));
        if (step < metrics.size()) schedule->observe(metrics[step]);
        if (step % 5 != 2) continue;
        const std::vector<double> state = schedule->state();
        schedule = plateau_schedule({.rate = 0.01});
        schedule->restore(state);
    }
    check_close(rates, expected, kRelative, kAbsolute, "plateau");
    CHECK(rates.back() < 0.01);  // otherwise the test would not reach the plateau
}

TEST_CASE("a plateau's rate stops at its minimum") {
    const auto schedule =
        plateau_schedule({.rate = 0.01, .factor = 0.5, .min_rate = 0.004, .patience = 1});
    for (int i = 0; i < 20; ++i) schedule->observe(1);
    CHECK(schedule->learning_rate(20) == 0.004);
}
