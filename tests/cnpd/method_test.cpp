// The method's arithmetic, compared with PyTorch in double (tests/fixtures/README.md). Tolerances
// are of the relative L2 error: 1e-6 for sums of a few dozen products, the victim's 1e-5 (logits)
// and 1e-4 (gradients) where the network is part of it.
#include <cmath>

#include <doctest/doctest.h>

#include "cnpd/ops/adversarial.h"
#include "cnpd/ops/polarizer.h"
#include "kernels/common/error.h"
#include "tests/support/fixtures.h"
#include "tests/support/tape.h"
#include "tests/support/victim.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

constexpr double kSum = 1e-6, kLogits = 1e-5, kGradient = 1e-4;

cnpd::ops::PolarizerParameters parameters_of(const Fixture& f, bool trainable) {
    const auto read = [&](const char* name) { return trainable ? f.leaf(name) : f.tensor(name); };
    return {.weight = read("weight"),
            .gamma = read("gamma"),
            .beta = read("beta"),
            .mean = f.tensor("mean"),
            .variance = f.tensor("variance")};
}

cnpd::ops::DefenseLossWeights weights_of(const std::vector<float>& w) {
    return {.clean = w[0], .undo = w[1], .strongest = w[2], .target = w[3]};
}

}  // namespace

TEST_CASE("polarizers: fold, output and gradients") {
    for (const std::string name : {"per_class", "shared"}) {
        CAPTURE(name);
        const Fixture f = Fixture("method").in("polarizer").in(name);
        const auto parameters = parameters_of(f, true);
        const Tensor z = f.leaf("z");
        // A single map needs no labels.
        for (const bool labelled : {true, false}) {
            if (!labelled && name == "per_class") continue;
            const Tensor labels = labelled ? f.integers("labels") : Tensor();
            for (Tensor leaf : {z, parameters.weight, parameters.gamma, parameters.beta})
                leaf.zero_grad();
            const auto maps = cnpd::ops::fold_polarizer(parameters);
            check_l2(maps.a, f.tensor("a"), kSum, "a");
            check_l2(maps.b, f.tensor("b"), kSum, "b");
            const Tensor out = cnpd::ops::polarize(z, labels, maps);
            check_l2(out, f.tensor("out"), kSum, "out");
            backward(weighted_sum(out, f.tensor("dout")));
            check_l2(z.grad(), f.tensor("dz"), kSum, "dz");
            check_l2(parameters.weight.grad(), f.tensor("dweight"), kSum, "dweight");
            check_l2(parameters.gamma.grad(), f.tensor("dgamma"), kSum, "dgamma");
            check_l2(parameters.beta.grad(), f.tensor("dbeta"), kSum, "dbeta");
        }
    }
}

TEST_CASE("a class without samples gets exactly no gradient") {
    const Fixture f = Fixture("method").in("polarizer").in("per_class");
    const auto parameters = parameters_of(f, true);
    const auto maps = cnpd::ops::fold_polarizer(parameters);
    backward(sum(cnpd::ops::polarize(f.tensor("z"), f.integers("labels"), maps)));
    for (const Tensor& leaf : {parameters.weight, parameters.gamma, parameters.beta})
        CHECK(cnpd::engine::ops::sum_of_squares(leaf.grad().rows(3, 1)) == 0);
}

TEST_CASE("no gradients are computed for constant polarizers and constant features") {
    const Fixture f = Fixture("method").in("polarizer").in("per_class");
    const Tensor labels = f.integers("labels");
    const auto constant = parameters_of(f, false), trained = parameters_of(f, true);
    const auto maps = cnpd::ops::fold_polarizer(constant);

    const Tensor leaf = f.leaf("z");
    const Tensor out = cnpd::ops::polarize(leaf, labels, maps);
    CHECK(leaf.unique());  // the tape does not need z
    backward(weighted_sum(out, f.tensor("dout")));
    check_l2(leaf.grad(), f.tensor("dz"), kSum, "dz");
    CHECK(!constant.weight.grad().defined());

    const Tensor z = f.tensor("z");
    backward(weighted_sum(cnpd::ops::polarize(z, labels, cnpd::ops::fold_polarizer(trained)),
                          f.tensor("dout")));
    CHECK(!z.grad().defined());
    check_l2(trained.weight.grad(), f.tensor("dweight"), kSum, "dweight");

    CHECK(!cnpd::ops::polarize(z, labels, maps).requires_grad());
}

TEST_CASE("mixtures of polarizers are sums of weighted maps") {
    const Fixture f = Fixture("method").in("polarizer").in("per_class");
    const auto parameters = parameters_of(f, false);
    const auto maps = cnpd::ops::fold_polarizer(parameters);
    const Tensor z = f.tensor("z");
    const std::int64_t n = z.shape()[0];
    const std::vector<std::int32_t> labels = random_labels(3 * n, 4);
    const std::vector<float> weights = random_values(3 * n);
    const Tensor mixed = cnpd::ops::polarize_mixture(
        z, {Tensor::from(labels, {3, n}), Tensor::from(weights, {3, n})}, maps);
    std::vector<double> expected(z.elements());
    const std::int64_t size = z.elements() / n;
    for (std::int64_t term = 0; term < 3; ++term) {
        const Tensor label = Tensor::from(std::span(labels).subspan(term * n, n), Shape{n});
        const std::vector<float> out = host(cnpd::ops::polarize(z, label, maps));
        for (std::int64_t i = 0; i < z.elements(); ++i)
            expected[i] += static_cast<double>(weights[term * n + i / size]) * out[i];
    }
    CHECK(relative_l2_error(host(mixed), expected) <= kSum);
}

TEST_CASE("polarizers refuse wrong shapes") {
    const Fixture f = Fixture("method").in("polarizer").in("per_class");
    const auto parameters = parameters_of(f, false);
    const auto maps = cnpd::ops::fold_polarizer(parameters);
    const Tensor z = f.tensor("z"), labels = f.integers("labels");
    const auto refuse = [&](const Tensor& features, const Tensor& y,
                            const cnpd::ops::AffineMaps& m) {
        CHECK_THROWS_AS(cnpd::ops::polarize(features, y, m), ShapeError);
    };
    constexpr Device other{.backend = Backend::cpu, .index = 1};
    refuse(Tensor(), labels, maps);
    refuse(z.view({7, 6, 6}), labels, maps);
    refuse(Tensor::zeros({7, 3, 2, 5}), labels, maps);
    refuse(z, labels.rows(0, 6), maps);
    refuse(z, Tensor(), maps);  // several maps
    refuse(z, Tensor::zeros({7}), maps);
    refuse(z, Tensor::zeros({7}, DType::int32, other), maps);
    refuse(z, labels, {.a = maps.a.rows(0, 3), .b = maps.b, .transposed = {}});
    refuse(z, labels, {.a = maps.a, .b = maps.b.rows(0, 3), .transposed = {}});
    refuse(z, labels, {});

    auto wrong = parameters;
    wrong.weight = Tensor::zeros({4, 6, 5});
    CHECK_THROWS_AS(cnpd::ops::fold_polarizer(wrong), ShapeError);
    wrong = parameters;
    wrong.variance = Tensor::zeros({4, 5});
    CHECK_THROWS_AS(cnpd::ops::fold_polarizer(wrong), ShapeError);
    wrong = parameters;
    wrong.mean = Tensor();
    CHECK_THROWS_AS(cnpd::ops::fold_polarizer(wrong), ShapeError);

    const Tensor two = Tensor::zeros({2, 7}, DType::int32), weight = Tensor::zeros({2, 7});
    CHECK_NOTHROW(cnpd::ops::polarize_mixture(z, {two, weight}, maps));
    CHECK_THROWS_AS(cnpd::ops::polarize_mixture(z, {labels, weight}, maps), ShapeError);
    CHECK_THROWS_AS(cnpd::ops::polarize_mixture(z, {two.rows(0, 1), weight}, maps), ShapeError);
    CHECK_THROWS_AS(cnpd::ops::polarize_mixture(z, {two, Tensor::zeros({7, 2})}, maps), ShapeError);
}

TEST_CASE("the defense loss and its gradients") {
    for (const std::string name : {"usual", "saturated", "all_masked", "none_masked"}) {
        CAPTURE(name);
        const Fixture f = Fixture("method").in("defense_loss").in(name);
        // Differences of logits reach 60, with an absolute rounding error of 2e-6 and the same
        // relative error of p.
        const double tolerance = name == "saturated" ? 5e-6 : 2e-6;
        const Tensor clean = f.leaf("clean"), adversarial = f.leaf("adversarial");
        const auto result = cnpd::ops::defense_loss(clean, adversarial,
                                                    {.label = f.integers("label"),
                                                     .restored = f.integers("restored"),
                                                     .target = f.integers("target")},
                                                    weights_of(f.values("weights")));
        check_close(host(result.terms), f.values("terms"), tolerance, 1e-6, "terms");
        CHECK(result.loss.item() == doctest::Approx(f.number("loss")).epsilon(tolerance));
        backward(cnpd::engine::ops::scale(result.loss, 3));
        const auto third = [](const Tensor& t) { return cnpd::engine::ops::scale(t, 1.0f / 3); };
        check_l2(third(clean.grad()), f.tensor("dclean"), tolerance, "dclean");
        if (name == "all_masked")
            CHECK(cnpd::engine::ops::sum_of_squares(adversarial.grad()) == 0);
        else
            check_l2(third(adversarial.grad()), f.tensor("dadversarial"), tolerance,
                     "dadversarial");
    }
}

TEST_CASE("the defense loss refuses wrong shapes") {
    const Tensor logits = Tensor::zeros({4, 3}), labels = Tensor::zeros({4}, DType::int32);
    const auto loss = [](const Tensor& a, const Tensor& b, const cnpd::ops::DefenseLossLabels& l) {
        return cnpd::ops::defense_loss(a, b, l, {});
    };
    constexpr Device other{.backend = Backend::cpu, .index = 1};
    CHECK_NOTHROW(loss(logits, logits, {labels, labels, labels}));
    CHECK_THROWS_AS(loss(logits, logits.rows(0, 3), {labels, labels, labels}), ShapeError);
    CHECK_THROWS_AS(loss(logits, Tensor(), {labels, labels, labels}), ShapeError);
    CHECK_THROWS_AS(loss(logits.view({12}), logits, {labels, labels, labels}), ShapeError);
    CHECK_THROWS_AS(loss(logits, logits, {labels, labels.rows(0, 3), labels}), ShapeError);
    CHECK_THROWS_AS(loss(logits, logits, {labels, labels, {}}), ShapeError);
    CHECK_THROWS_AS(loss(logits, logits, {labels, labels, Tensor::zeros({4})}), ShapeError);
    CHECK_THROWS_AS(
        loss(logits, Tensor::zeros({4, 3}, DType::float32, other), {labels, labels, labels}),
        ShapeError);
    CHECK_THROWS_AS(loss(logits, logits, {labels, labels, Tensor::zeros({4}, DType::int32, other)}),
                    ShapeError);
    // The strongest wrong class does not exist.
    const Tensor single = Tensor::zeros({4, 1});
    CHECK_THROWS_AS(loss(single, single, {labels, labels, labels}), ShapeError);
}

TEST_CASE("steps of projected gradient descent") {
    using cnpd::ops::PgdGradient;
    using cnpd::ops::PgdNorm;
    struct Case {
        const char* name;
        PgdGradient gradient;
        PgdNorm norm;
    };
    const Fixture f = Fixture("method").in("pgd");
    const cnpd::ops::Normalisation normalisation{f.tensor("mean"), f.tensor("inverse_std")};
    const Shape stored = f.entry("gradients").shape;  // [2,N,C,H,W]
    const Shape step_shape{stored[1], stored[2], stored[3], stored[4]};
    const Tensor x = f.tensor("x");
    // Step i of a sequence of images.
    const auto at = [&](const std::vector<float>& all, std::int64_t i) {
        const auto first = all.begin() + i * step_shape.elements();
        return Tensor::from(
            channels_last(std::vector(first, first + step_shape.elements()), step_shape),
            x.shape());
    };
    for (const Case& c : {Case{"sign_l2", PgdGradient::sign, PgdNorm::l2},
                          Case{"sign_l2_wide", PgdGradient::sign, PgdNorm::l2},
                          Case{"normalised_l2", PgdGradient::normalised, PgdNorm::l2},
                          Case{"sign_linf", PgdGradient::sign, PgdNorm::linf}}) {
        CAPTURE(c.name);
        const Fixture part = f.in(c.name);
        const std::vector<float> step_radius = part.values("step_radius");
        const cnpd::ops::PgdOptions options{.gradient = c.gradient,
                                            .norm = c.norm,
                                            .step = step_radius[0],
                                            .radius = step_radius[1]};
        Tensor adversarial = x.clone(), input;
        for (std::int64_t i = 0; i < 2; ++i) {
            CAPTURE(i);
            input = cnpd::ops::pgd_step(options, normalisation, x, at(f.values("gradients"), i),
                                        adversarial);
            check_close(host(adversarial), host(at(part.values("adversarial"), i)), 0, 1e-6,
                        "adversarial");
            for (const float pixel : host(adversarial)) {
                CHECK(pixel >= 0);
                CHECK(pixel <= 1);
            }
            // The sample without a gradient has not moved.
            CHECK(identical(adversarial.rows(1, 1), x.rows(1, 1)));
        }
        check_close(host(input), host(part.tensor("input")), 1e-6, 4e-6, "input");
    }
}

TEST_CASE("a step of gradient descent refuses wrong shapes") {
    const Tensor x = Tensor::zeros({2, 3, 4, 3});
    const cnpd::ops::Normalisation n{Tensor::zeros({3}), Tensor::full({3}, 1)};
    const auto step = [&](const Tensor& gradient, Tensor adversarial,
                          const cnpd::ops::Normalisation& normalisation) {
        cnpd::ops::pgd_step({}, normalisation, x, gradient, adversarial);
    };
    constexpr Device other{.backend = Backend::cpu, .index = 1};
    CHECK_NOTHROW(step(x, x.clone(), n));
    CHECK_THROWS_AS(step(x.rows(0, 1), x.clone(), n), ShapeError);
    CHECK_THROWS_AS(step({}, x.clone(), n), ShapeError);
    CHECK_THROWS_AS(step(x, {}, n), ShapeError);
    CHECK_THROWS_AS(step(x, x.clone(), {n.mean, {}}), ShapeError);
    CHECK_THROWS_AS(step(x, x.clone(), {Tensor::zeros({4}), n.inverse_std}), ShapeError);
    CHECK_THROWS_AS(step(Tensor::zeros(x.shape(), DType::float32, other), x.clone(), n),
                    ShapeError);
    CHECK_THROWS_AS(step(x, x.clone(), {Tensor::zeros({3}, DType::float32, other), n.inverse_std}),
                    ShapeError);
}

TEST_CASE("the polarized victim: logits, loss and the polarizers' gradients") {
    const Fixture f("frozen_victim"), passes("preact_resnet18_passes");
    const auto victim = fixture_victim();
    const Fixture part = f.in("polarized");
    const auto parameters = parameters_of(part, true);
    const auto maps = cnpd::ops::fold_polarizer(parameters);
    const models::Cut cut = victim->prefix(passes.tensor("input"), victim->insertion_point());
    CHECK(!cut.z.requires_grad());
    const auto logits_of = [&](const Tensor& route) {
        return victim->suffix({cnpd::ops::polarize(cut.z, route, maps), cut.residual},
                              victim->insertion_point());
    };
    const Tensor clean = logits_of(part.integers("predicted"));
    const Tensor adversarial = logits_of(f.integers("targets"));
    check_l2(clean, part.tensor("clean_logits"), kLogits, "clean logits");
    check_l2(adversarial, part.tensor("adversarial_logits"), kLogits, "adversarial logits");
    const auto loss = cnpd::ops::defense_loss(clean, adversarial,
                                              {.label = passes.integers("labels"),
                                               .restored = part.integers("predicted"),
                                               .target = part.integers("masked_targets")},
                                              {});
    check_close(host(loss.terms), part.values("terms"), kLogits, 1e-6, "terms");
    check_l2(loss.loss, part.tensor("loss"), kLogits, "loss");
    backward(loss.loss);
    check_l2(parameters.weight.grad(), part.tensor("dweight"), kGradient, "dweight");
    check_l2(parameters.gamma.grad(), part.tensor("dgamma"), kGradient, "dgamma");
    check_l2(parameters.beta.grad(), part.tensor("dbeta"), kGradient, "dbeta");
    for (const Tensor& weight : victim->parameters()) CHECK(!weight.grad().defined());
}
