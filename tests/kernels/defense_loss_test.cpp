#include "kernels/defense_loss/defense_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

struct Case {
    std::int64_t n, classes;
    std::vector<float> clean, adversarial;
    std::vector<std::int32_t> label, restored, target;

    Case(std::int64_t rows, std::int64_t c, float scale = 2)
        : n(rows),
          classes(c),
          clean(random_values(rows * c, scale)),
          adversarial(random_values(rows * c, scale)),
          label(random_labels(rows, static_cast<std::int32_t>(c))),
          restored(random_labels(rows, static_cast<std::int32_t>(c))),
          target(random_labels(rows, static_cast<std::int32_t>(c))) {
        for (std::size_t i = 0; i < target.size(); i += 3) target[i] = -1;
    }
    auto labels() const {
        return staged([this](Staging& staging) {
            return DefenseLossLabels{staging.pass(label), staging.pass(restored),
                                     staging.pass(target)};
        });
    }
};

struct Result {
    Guarded<float> loss, terms, dclean, dadversarial;
    explicit Result(const Case& c)
        : loss(1), terms(4), dclean(c.n * c.classes), dadversarial(c.n * c.classes) {}
};

constexpr DefenseLossWeights kWeights{
    .clean = 1.3f, .undo = 0.7f, .strongest = 0.4f, .target = 0.9f};

template <class Function>
Result run(const Function& function, const Case& c, const DefenseLossWeights& weights = kWeights) {
    Result result(c);
    INFO(function.backend);
    function(c.n, c.classes, c.clean, c.adversarial, c.labels(), weights, result.loss, result.terms,
             result.dclean, result.dadversarial);
    CHECK((result.loss.intact() && result.terms.intact()));
    const double sum =
        double{weights.clean} * result.terms[0] + double{weights.undo} * result.terms[1] +
        double{weights.strongest} * result.terms[2] + double{weights.target} * result.terms[3];
    CHECK(result.loss[0] == doctest::Approx(sum).epsilon(1e-6));
    CHECK(result.dclean.intact());
    CHECK(result.dadversarial.intact());
    return result;
}

// The four terms computed from the formulas, in double.
std::vector<double> terms_of(const Case& c, const std::vector<double>& clean,
                             const std::vector<double>& adversarial) {
    std::vector<double> terms(4, 0.0);
    double unmasked = 0;
    const auto softmax = [&](const std::vector<double>& logits, std::int64_t row) {
        std::vector<double> p(logits.begin() + row * c.classes,
                              logits.begin() + (row + 1) * c.classes);
        double sum = 0;
        for (double& value : p) sum += value = std::exp(value);
        for (double& value : p) value /= sum;
        return p;
    };
    for (std::int64_t row = 0; row < c.n; ++row) {
        terms[0] -= std::log(softmax(clean, row)[c.label[row]]) / static_cast<double>(c.n);
        if (c.target[row] < 0) continue;
        ++unmasked;
        const auto p = softmax(adversarial, row);
        auto wrong = p;
        wrong[c.label[row]] = -1;
        terms[1] -= std::log(p[c.restored[row]]);
        terms[2] -= std::log(1.0001 - *std::max_element(wrong.begin(), wrong.end()));
        terms[3] -= std::log(1.0001 - p[c.target[row]]);
    }
    for (int term = 1; term < 4; ++term)
        if (unmasked > 0) terms[term] /= unmasked;
    return terms;
}

double total(const std::vector<double>& terms) {
    return double{kWeights.clean} * terms[0] + double{kWeights.undo} * terms[1] +
           double{kWeights.strongest} * terms[2] + double{kWeights.target} * terms[3];
}

void check_slopes(const Case& c, bool of_clean, const Guarded<float>& gradient) {
    std::vector<double> clean(c.clean.begin(), c.clean.end());
    std::vector<double> adversarial(c.adversarial.begin(), c.adversarial.end());
    std::vector<double>& logits = of_clean ? clean : adversarial;
    std::vector<double> slopes(logits.size());
    constexpr double kStep = 1e-5;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const double value = logits[i];
        logits[i] = value + kStep;
        const double above = total(terms_of(c, clean, adversarial));
        logits[i] = value - kStep;
        slopes[i] = (above - total(terms_of(c, clean, adversarial))) / (2 * kStep);
        logits[i] = value;
    }
    check_close(gradient, slopes, 1e-5, 1e-7, of_clean ? "dclean" : "dadversarial");
}

}  // namespace

TEST_CASE(
    "defense loss: the reference agrees with the formula, its gradients with the derivatives") {
    for (std::int64_t classes : {2, 3, 10, 43}) {
        const Case c(7, classes);
        const Result result = run(CNPD_REFERENCE(defense_loss), c);
        check_close(result.terms,
                    terms_of(c, {c.clean.begin(), c.clean.end()},
                             {c.adversarial.begin(), c.adversarial.end()}),
                    1e-6, 1e-30, "terms");
        check_slopes(c, true, result.dclean);
        check_slopes(c, false, result.dadversarial);
    }
}

TEST_CASE("defense loss: every backend agrees with the reference") {
    for (std::int64_t classes : {2, 7, 10, 43, 200})
        for (std::int64_t n : {1, 2, 37, 128}) {
            const Case c(n, classes, 3);
            const Result expected = run(CNPD_REFERENCE(defense_loss), c);
            for (const auto& function : CNPD_IMPLEMENTATIONS(defense_loss)) {
                INFO(function.backend);
                const Result actual = run(function, c);
                check_close(actual.terms, expected.terms, 1e-6, 1e-30, "terms");
                check_close(actual.dclean, expected.dclean, 1e-6, 1e-12, "dclean");
                check_close(actual.dadversarial, expected.dadversarial, 1e-6, 1e-12,
                            "dadversarial");
            }
        }
}

TEST_CASE("defense loss: certain predictions stay finite") {
    Case c(6, 5, 200);  // probabilities of exactly 0 and 1
    const Result expected = run(CNPD_REFERENCE(defense_loss), c);
    for (const auto& function : CNPD_IMPLEMENTATIONS(defense_loss)) {
        INFO(function.backend);
        const Result actual = run(function, c);
        check_close(actual.terms, expected.terms, 1e-6, 1e-30, "terms");
        check_close(actual.dadversarial, expected.dadversarial, 1e-5, 1e-9, "dadversarial");
    }
    // -log(1.0001 - 1), the largest value of the last two terms
    CHECK(expected.terms[2] <= doctest::Approx(std::log(1e4)));
    CHECK(expected.terms[3] <= doctest::Approx(std::log(1e4)));
}

TEST_CASE("defense loss: masked samples count only for the clean term") {
    Case c(9, 4);
    const Result before = run(CNPD_REFERENCE(defense_loss), c);
    // The adversarial logits of a masked sample are not read.
    for (std::int64_t row = 0; row < c.n; row += 3) {
        REQUIRE(c.target[row] < 0);
        c.restored[row] = -1;
        for (std::int64_t k = 0; k < c.classes; ++k) {
            CHECK(before.dadversarial[row * c.classes + k] == 0);
            c.adversarial[row * c.classes + k] += 5;
        }
    }
    for (const auto& function : CNPD_WITH_REFERENCE(defense_loss)) {
        const Result after = run(function, c);
        check_close(after.terms, before.terms, 1e-6, 1e-30, "terms");
        check_close(after.dadversarial, before.dadversarial, 1e-6, 1e-12, "dadversarial");
    }
}

TEST_CASE("defense loss: with every sample masked the adversarial terms are zero") {
    Case c(5, 3);
    std::fill(c.target.begin(), c.target.end(), -1);
    for (const auto& function : CNPD_WITH_REFERENCE(defense_loss)) {
        const Result result = run(function, c);
        CHECK(result.terms[0] > 0);
        for (int term = 1; term < 4; ++term) CHECK(result.terms[term] == 0);
        for (std::int64_t i = 0; i < result.dadversarial.size(); ++i)
            CHECK(result.dadversarial[i] == 0);
    }
}

TEST_CASE("defense loss: the strongest wrong class is the first of equals and never the label") {
    Case c(1, 4);
    c.adversarial = {2, 1, 1, 0};
    c.label = {0};
    c.restored = {0};
    c.target = {3};
    const DefenseLossWeights only_strongest{.clean = 0, .undo = 0, .strongest = 1, .target = 0};
    for (const auto& function : CNPD_WITH_REFERENCE(defense_loss)) {
        const Result result = run(function, c, only_strongest);
        CHECK(result.dadversarial[1] > 0);
        for (int k : {0, 2, 3}) CHECK(result.dadversarial[k] < 0);
    }
}
