#include "kernels/attack_loss/attack_loss.h"

#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

struct Case {
    std::int64_t n, classes;
    std::vector<float> clean, first, second;
    std::vector<std::int32_t> push_to;

    Case(std::int64_t rows, std::int64_t c)
        : n(rows),
          classes(c),
          clean(random_values(rows * c, 2)),
          first(random_values(rows * c, 2)),
          second(random_values(rows * c, 2)),
          push_to(random_labels(rows, static_cast<std::int32_t>(c))) {
        // Makes both models classify some rows as their target.
        for (std::int64_t i = 0; i < rows; i += 2) first[i * c + push_to[i]] = 9;
        for (std::int64_t i = 0; i < rows; i += 3) second[i * c + push_to[i]] = 9;
        for (std::int64_t i = 4; i < rows; i += 5) push_to[i] = -1;
    }
};

// State and labels after attack_start, and after a whole attack on one backend.
struct Attack {
    std::vector<std::int32_t> predicted, target, route;
    std::vector<AttackState> state{1};
    Guarded<float> dfirst, dsecond;

    explicit Attack(const Case& c)
        : predicted(c.n), target(c.n), route(c.n), dfirst(c.n * c.classes), dsecond(dfirst) {
        state[0] = {7, 7, 7, 7};  // to be overwritten
    }
    AttackState& now() { return state.front(); }
};

template <class Function>
void start(const Function& function, const Case& c, Attack& a,
           AttackDirection direction = AttackDirection::towards) {
    INFO(function.backend);
    function(c.clean, c.n, c.classes, c.push_to, direction, staged([&](Staging& staging) {
                 return AttackLabels{staging.pass(a.predicted), staging.pass(a.target),
                                     staging.pass(a.route)};
             }),
             a.state);
}

template <class Function>
void look(const Function& function, const Case& c, Attack& a, bool two, double stop_share,
          AttackDirection direction = AttackDirection::towards) {
    INFO(function.backend);
    function(staged([&](Staging& staging) {
                 AttackedModels models{};
                 models.logits[0] = staging.pass(c.first);
                 models.dlogits[0] = staging.pass(a.dfirst);
                 if (!two) return models;
                 models.logits[1] = staging.pass(c.second);
                 models.dlogits[1] = staging.pass(a.dsecond);
                 return models;
             }),
             c.n, c.classes, c.push_to, std::as_const(a.target), direction, stop_share, a.state);
}

bool same(const AttackState& a, const AttackState& b) {
    return a.stopped == b.stopped && a.gradients == b.gradients && a.fooled == b.fooled &&
           a.unmasked == b.unmasked;
}

}  // namespace

TEST_CASE("attack loss: every backend agrees with the reference, including the state") {
    for (const auto direction : {AttackDirection::towards, AttackDirection::away})
        for (const std::int64_t n : {1, 2, 37, 600})
            for (const std::int64_t classes : {2, 3, 10, 43, 200}) {
                CAPTURE(static_cast<int>(direction));
                CAPTURE(n);
                CAPTURE(classes);
                Case c(n, classes);
                Attack expected(c);
                start(CNPD_REFERENCE(attack_start), c, expected, direction);
                std::vector<Attack> of_backend;
                for (const auto& function : CNPD_IMPLEMENTATIONS(attack_start)) {
                    Attack& actual = of_backend.emplace_back(c);
                    start(function, c, actual, direction);
                    CHECK(actual.predicted == expected.predicted);
                    CHECK(actual.target == expected.target);
                    CHECK(actual.route == expected.route);
                    CHECK(same(actual.now(), expected.now()));
                }
                // Two counts that do not stop, one that does, and one that would not.
                for (const auto& [two, share] : {std::pair{true, 1.0}, std::pair{false, 1.0},
                                                 std::pair{false, -1.0}, std::pair{true, 1.0}}) {
                    look(CNPD_REFERENCE(attack_loss), c, expected, two, share, direction);
                    std::size_t backend = 0;
                    for (const auto& function : CNPD_IMPLEMENTATIONS(attack_loss)) {
                        Attack& actual = of_backend[backend++];
                        look(function, c, actual, two, share, direction);
                        CHECK(same(actual.now(), expected.now()));
                        check_close(actual.dfirst, expected.dfirst, 1e-5, 1e-6, "first");
                        if (two)
                            check_close(actual.dsecond, expected.dsecond, 1e-5, 1e-6, "second");
                        CHECK((actual.dfirst.intact() && actual.dsecond.intact()));
                    }
                }
                CHECK(expected.now().gradients == 2);
                CHECK(expected.now().stopped == 1);
            }
}

TEST_CASE("attack loss: masked rows do not count, and the model fooled by fewer rows decides") {
    Case c(4, 3);
    c.push_to = {0, 1, 2, 1};
    c.clean = {1,      0, 0, /**/ 1, 0, 0,
               /**/ 1, 0, 0, /**/ 1, 0, 0};  // predicts 0: the first is masked
    c.first = {5, 0, 0, /**/ 0, 5, 0, /**/ 0, 0, 5, /**/ 0, 5, 0};   // all classified as pushed
    c.second = {5, 0, 0, /**/ 0, 5, 0, /**/ 0, 0, 5, /**/ 5, 0, 0};  // the last is not
    for (const auto& function : CNPD_WITH_REFERENCE(attack_start)) {
        Attack a(c);
        start(function, c, a);
        CHECK(a.target == std::vector<std::int32_t>{-1, 1, 2, 1});
        CHECK(a.route == std::vector<std::int32_t>{0, 1, 2, 1});
        CHECK(same(a.now(), {0, 0, 0, 3}));
    }
    Attack a(c);
    start(CNPD_REFERENCE(attack_start), c, a);
    const AttackState begun = a.now();
    for (const auto& function : CNPD_WITH_REFERENCE(attack_loss)) {
        a.now() = begun;
        look(function, c, a, true, 0.7);
        CHECK(same(a.now(), {0, 1, 2, 3}));
        look(function, c, a, true, 0.6);
        CHECK(same(a.now(), {1, 1, 2, 3}));
        look(function, c, a, false, 0.99);
        CHECK(same(a.now(), {1, 1, 3, 3}));
    }
    for (const auto& function : CNPD_WITH_REFERENCE(attack_account)) {
        INFO(function.backend);
        std::vector<double> sums{1, 10};
        const std::vector<AttackState> state{{1, 2, 2, 4}}, nobody{{0, 3, 0, 0}};
        function(state, sums);
        function(nobody, sums);
        CHECK(sums == std::vector<double>{1.5, 15});
    }
}

TEST_CASE("attack loss: untargeted, a row counts as fooled when its prediction changed") {
    Case c(4, 3);
    c.push_to = {0, 1, 0, -1};
    c.clean = {1,      0, 0, /**/ 1, 0, 0,
               /**/ 1, 0, 0, /**/ 1, 0, 0};  // the second has another class already
    c.first = {5, 0, 0, /**/ 0, 5, 0, /**/ 0, 0, 5, /**/ 0, 5, 0};
    for (const auto& function : CNPD_WITH_REFERENCE(attack_start)) {
        Attack a(c);
        start(function, c, a, AttackDirection::away);
        CHECK(a.target == std::vector<std::int32_t>{0, -1, 0, -1});
        CHECK(same(a.now(), {0, 0, 0, 2}));
    }
    Attack a(c);
    start(CNPD_REFERENCE(attack_start), c, a, AttackDirection::away);
    const AttackState begun = a.now();
    for (const auto& function : CNPD_WITH_REFERENCE(attack_loss)) {
        a.now() = begun;
        look(function, c, a, false, 1, AttackDirection::away);
        CHECK(same(a.now(), {0, 1, 1, 2}));
    }
    for (const auto& function : CNPD_WITH_REFERENCE(attack_reached)) {
        INFO(function.backend);
        std::vector<std::int32_t> target(4), route(4);
        function(c.first, c.n, c.classes, std::as_const(a.predicted), target, route);
        CHECK(target == std::vector<std::int32_t>{-1, 1, 2, 1});
        CHECK(route == std::vector<std::int32_t>{0, 1, 2, 1});
    }
}

TEST_CASE("the strongest other class") {
    for (const std::int64_t classes : {2, 3, 10, 43, 200}) {
        const Case c(37, classes);
        const auto labels = random_labels(37, static_cast<std::int32_t>(classes));
        std::vector<std::int32_t> expected(37);
        reference::strongest_other(c.first.data(), 37, classes, labels.data(), expected.data());
        for (std::size_t i = 0; i < labels.size(); ++i) CHECK(expected[i] != labels[i]);
        for (const auto& function : CNPD_IMPLEMENTATIONS(strongest_other)) {
            INFO(function.backend);
            std::vector<std::int32_t> others(37);
            function(c.first, std::int64_t{37}, classes, labels, others);
            CHECK(others == expected);
        }
    }
    // The first of equals.
    const std::vector<float> logits{1, 3, 3, 3};
    const std::vector<std::int32_t> label{1};
    for (const auto& function : CNPD_WITH_REFERENCE(strongest_other)) {
        std::vector<std::int32_t> other(1);
        function(logits, std::int64_t{1}, std::int64_t{4}, label, other);
        CHECK(other.front() == 2);
    }
}
