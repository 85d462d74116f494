#include "cnpd/metrics/metrics.h"

#include <cmath>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "cnpd/metrics/json.h"
#include "kernels/common/error.h"

using namespace cnpd;
using namespace cnpd::metrics;

namespace {

using Classes = std::vector<std::int32_t>;

Scores scores(double acc, double asr) {
    return {.acc = acc, .asr = asr};
}

TEST_CASE("metrics: a score that is NaN has no ROC curve") {
    const std::vector<float> whole = {1, 2}, broken = {1, std::nanf(""), 3, 0};
    CHECK(std::isnan(auroc(whole, broken)));
    CHECK(std::isnan(auroc(broken, whole)));
    CHECK(roc(broken, whole).true_positive_rate.empty());
    CHECK(roc(whole, {}).true_positive_rate.empty());
    CHECK(roc({}, whole).true_positive_rate.empty());
}

TEST_CASE("metrics: an ROC curve steps at each score, ties in one step") {
    const std::vector<float> high = {.9f, .5f, .5f, .1f}, low = {.5f, .1f};
    const Roc curve = roc(high, low);
    CHECK(curve.true_positive_rate == std::vector<double>{0, .25, .75, 1});
    CHECK(curve.false_positive_rate == std::vector<double>{0, 0, .5, 1});
}

TEST_CASE("metrics: a long ROC curve keeps its area in 101 points") {
    std::vector<float> high, low;
    for (int i = 0; i < 5000; ++i) {
        high.push_back(static_cast<float>((i * 37 % 5000) / 5000.0));
        low.push_back(static_cast<float>(std::pow((i * 41 % 5000) / 5000.0, 2)));
    }
    const Roc curve = roc(high, low);
    REQUIRE(curve.true_positive_rate.size() == curve.false_positive_rate.size());
    CHECK(curve.true_positive_rate.size() <= 101);
    CHECK(curve.true_positive_rate.size() > 80);
    CHECK(curve.true_positive_rate.front() == 0);
    CHECK(curve.false_positive_rate.back() == 1);
    double area = 0;
    for (std::size_t i = 1; i < curve.true_positive_rate.size(); ++i) {
        const double width = curve.false_positive_rate[i] - curve.false_positive_rate[i - 1];
        CHECK(width >= 0);
        CHECK(curve.true_positive_rate[i] >= curve.true_positive_rate[i - 1]);
        area += width * (curve.true_positive_rate[i] + curve.true_positive_rate[i - 1]) / 2;
    }
    // Each trapezoid is at most 0.04 along the curve, so it is off by less than the square of that.
    CHECK(area == doctest::Approx(auroc(high, low)).epsilon(0.01));
}

}  // namespace

TEST_CASE("accuracy, attack success rate and robust accuracy") {
    const Classes clean_predictions{0, 1, 2, 2}, clean_labels{0, 1, 2, 0};
    const Classes poisoned_predictions{0, 0, 2, 1, 1}, backdoor{0, 0, 0, 0, 0},
        original{1, 2, 2, 1, 3}, clean_index{1, 2, 3, 1, 0};
    const Scores s =
        score(clean_predictions, clean_labels, poisoned_predictions,
              {.backdoor = backdoor, .original = original, .clean_index = clean_index});
    CHECK(s.acc == 0.75);
    CHECK(s.asr == 0.4);
    CHECK(s.r_acc == 0.4);
    CHECK(s.asr_untriggered == 0.2);  // the last one, clean image 0
    CHECK(s.n_clean == 4);
    CHECK(s.n_poisoned == 5);
}

TEST_CASE("without poisoned images there is no attack to measure") {
    const Classes some{1, 2};
    const Scores s = score(some, some, {}, {});
    CHECK(s.acc == 1);
    CHECK(std::isnan(s.asr));
    CHECK(std::isnan(s.r_acc));
    CHECK(s.n_poisoned == 0);
}

TEST_CASE("every label needs a prediction") {
    const Classes two{1, 2}, three{1, 2, 3};
    CHECK_THROWS_AS(score(two, three, {}, {}), Error);
    const Classes beyond{0, 2};
    CHECK_THROWS_AS(score(two, two, two, {.backdoor = two, .original = two, .clean_index = beyond}),
                    Error);
    const Classes zeros{0, 0}, of_three{0, 0, 0};
    const auto poisoned = [&](const Classes& predictions, PoisonedLabels labels) {
        return score(two, two, predictions, labels);
    };
    CHECK_THROWS_AS(poisoned(two, {.backdoor = two, .original = two, .clean_index = of_three}),
                    Error);
    CHECK_THROWS_AS(poisoned(three, {.backdoor = two, .original = three, .clean_index = of_three}),
                    Error);
    CHECK_THROWS_AS(poisoned(three, {.backdoor = three, .original = two, .clean_index = of_three}),
                    Error);
    CHECK_NOTHROW(poisoned(two, {.backdoor = two, .original = two, .clean_index = zeros}));
}

TEST_CASE("the defense effectiveness rating") {
    // [max(0, drop of ASR) - max(0, drop of ACC) + 1] / 2
    CHECK(defense_effectiveness(scores(0.93, 0.98), scores(0.91, 0.03)) ==
          doctest::Approx((0.95 - 0.02 + 1) / 2));
    CHECK(defense_effectiveness(scores(0.9, 1), scores(0.9, 0)) == 1);
    CHECK(defense_effectiveness(scores(0.9, 0.5), scores(0.9, 0.5)) == 0.5);
    CHECK(defense_effectiveness(scores(1, 0), scores(0, 1)) == 0);
    // Gains in ACC and ASR count as 0.
    CHECK(defense_effectiveness(scores(0.8, 0.5), scores(0.9, 0.6)) == 0.5);
    CHECK(std::isnan(defense_effectiveness(scores(0.9, NAN), scores(0.9, NAN))));
    CHECK(std::isnan(defense_effectiveness(scores(NAN, 1), scores(0.9, 0))));
}

TEST_CASE("detection by disagreement") {
    // Five poisoned images; four fool the victim, and two of these are flagged.
    const Classes backdoor{7, 7, 7, 7, 7}, victim{7, 7, 7, 7, 1}, purified{7, 2, 3, 7, 2};
    const Classes clean{0, 1, 2, 3}, clean_purified{0, 1, 2, 0};
    const Detection d = detect({.victim = clean, .purified = clean_purified},
                               {.victim = victim, .purified = purified}, backdoor);
    CHECK(d.true_positive_rate == doctest::Approx(0.6));
    CHECK(d.true_positive_rate_successful == 0.5);
    CHECK(d.false_positive_rate == 0.25);

    const Classes none{1, 1, 1, 1, 1};
    const Detection failed =
        detect({.victim = clean, .purified = clean}, {.victim = none, .purified = none}, backdoor);
    CHECK(failed.true_positive_rate == 0);
    CHECK(std::isnan(failed.true_positive_rate_successful));
    CHECK(failed.false_positive_rate == 0);
    CHECK_THROWS_AS(
        detect({.victim = clean, .purified = none}, {.victim = none, .purified = none}, backdoor),
        Error);
    CHECK_THROWS_AS(detect({.victim = clean, .purified = clean},
                           {.victim = clean, .purified = clean}, backdoor),
                    Error);
}

TEST_CASE("the area under the ROC is the share of pairs in the right order") {
    const std::vector<float> high{0.9f, 0.8f, 0.4f}, low{0.1f, 0.4f, -0.2f, 0.85f};
    // 0.9 is above all four, 0.8 above three, 0.4 above two and equal to one.
    CHECK(auroc(high, low) == doctest::Approx((4 + 3 + 2.5) / 12));
    CHECK(auroc(low, high) == doctest::Approx(1 - (4 + 3 + 2.5) / 12));
    CHECK(auroc(high, high) == 0.5);
    CHECK(std::isnan(auroc({}, low)));
    CHECK(std::isnan(auroc(high, {})));

    // Over the successful ones only the first and the third count.
    const Classes backdoor{7, 7, 7}, victim{7, 1, 7}, purified{0, 1, 2}, clean{0, 1, 2, 3};
    const Detection d = detect({.victim = clean, .purified = clean, .drops = low},
                               {.victim = victim, .purified = purified, .drops = high}, backdoor);
    CHECK(d.auroc == doctest::Approx((4 + 3 + 2.5) / 12));
    CHECK(d.auroc_successful == doctest::Approx((4 + 2.5) / 8));
}

TEST_CASE("scores as percentages with four decimals") {
    CHECK(percent(0.123456789).dump() == "12.3457");
    CHECK(percent(1).get<double>() == 100);
    CHECK(percent(NAN).is_null());
    nlohmann::ordered_json record;
    add_scores(record, {.acc = 0.5, .asr = NAN, .r_acc = 0.25});
    CHECK(record["acc"].get<double>() == 50);
    CHECK(record["asr"].is_null());
    CHECK(record["r_acc"].get<double>() == 25);
}
