#include "cnpd/defenses/polarizing/polarizers/stacked.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "cnpd/defenses/polarizing/polarizers/purified_model.h"
#include "engine/checkpoint.h"
#include "engine/optimizer.h"
#include "kernels/common/error.h"
#include "tests/support/files.h"
#include "tests/support/fixtures.h"
#include "tests/support/tape.h"
#include "tests/support/victim.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::polarizers;
using namespace cnpd::tests;

namespace {

constexpr std::int64_t kClasses = 4, kChannels = 5;

Tensor labels_of(std::vector<std::int32_t> labels) {
    const auto count = static_cast<std::int64_t>(labels.size());
    return Tensor::from(labels, {count});
}

FeatureStatistics statistics_of(const Tensor& z, const Tensor& predictions, std::int64_t classes) {
    FeatureStatisticsCollector collector(classes, z.shape()[3]);
    collector.add(z, predictions);
    return collector.finish();
}

// A polarizer that is no longer the identity.
void disturb(Polarizer& polarizer) {
    for (Tensor parameter : polarizer.parameters())
        parameter.copy_from(
            engine::ops::add(parameter.detach(), random_tensor(parameter.shape(), 0.2f)));
    polarizer.refresh();
}

double norm_of(const std::vector<Tensor>& gradients) {
    double squares = 0;
    for (const Tensor& gradient : gradients) squares += engine::ops::sum_of_squares(gradient);
    return std::sqrt(squares);
}

// weight, gamma and beta of one class.
std::vector<Tensor> parameters_of(RCnpd& polarizer, std::int64_t y) {
    const auto groups = polarizer.parameter_groups(0);
    REQUIRE(groups.size() == 1);
    const auto& all = groups[0].parameters;
    return {all[3 * y], all[3 * y + 1], all[3 * y + 2]};
}

std::vector<Tensor> gradients_of(RCnpd& polarizer, std::int64_t y) {
    std::vector<Tensor> gradients;
    for (const Tensor& parameter : parameters_of(polarizer, y)) {
        REQUIRE(parameter.grad().defined());
        REQUIRE(parameter.grad().shape() == parameter.shape());
        gradients.push_back(parameter.grad());
    }
    return gradients;
}

}  // namespace

TEST_CASE("feature statistics are the moments of each predicted class") {
    const Tensor z = engine::ops::add(random_tensor({9, 3, 2, 2}), Tensor::full({9, 3, 2, 2}, 3));
    const std::vector<std::int32_t> predicted{2, 0, 2, 2, 0, 1, 1, 0, 2};
    FeatureStatisticsCollector collector(4, 2);
    // In two pieces.
    collector.add(z.rows(0, 4), labels_of({2, 0, 2, 2}));
    collector.add(z.rows(4, 5), labels_of({0, 1, 1, 0, 2}));
    const FeatureStatistics s = collector.finish();
    CHECK(s.classes == 4);
    CHECK(s.channels == 2);
    CHECK(s.count == std::vector<std::int64_t>{3, 2, 4, 0});
    const std::vector<float> values = host(z);
    const auto moments = [&](int y, int c) {
        double n = 0, total = 0, squares = 0;
        for (int i = 0; i < 9 * 6; ++i)
            if (y < 0 || predicted[i / 6] == y) {
                n += 1;
                total += values[i * 2 + c];
            }
        for (int i = 0; i < 9 * 6; ++i)
            if (y < 0 || predicted[i / 6] == y)
                squares += std::pow(values[i * 2 + c] - total / n, 2);
        return std::pair{total / n, squares / n};
    };
    for (int c = 0; c < 2; ++c) {
        const auto [mean, variance] = moments(-1, c);
        CHECK(s.global_mean[c] == doctest::Approx(mean).epsilon(1e-6));
        CHECK(s.global_variance[c] == doctest::Approx(variance).epsilon(1e-6));
        for (int y = 0; y < 4; ++y) {
            // A class without predictions gets the global statistics.
            const auto [m, v] = moments(y == 3 ? -1 : y, c);
            CHECK(s.mean[y * 2 + c] == doctest::Approx(m).epsilon(1e-6));
            CHECK(s.variance[y * 2 + c] == doctest::Approx(v).epsilon(1e-6));
        }
    }
    CHECK_THROWS_AS(collector.add(z.rows(0, 4), labels_of({0})), ShapeError);
    CHECK_THROWS_AS(collector.add(Tensor::zeros({1, 1, 1, 3}), labels_of({0})), ShapeError);
}

TEST_CASE("shared statistics are the global ones for every class") {
    const FeatureStatistics each{.classes = 2,
                                 .channels = 2,
                                 .mean = {1, 2, 3, 4},
                                 .variance = {5, 6, 7, 8},
                                 .global_mean = {9, 10},
                                 .global_variance = {11, 12},
                                 .count = {13, 14}};
    const FeatureStatistics shared = each.shared();
    CHECK(shared.mean == std::vector<float>{9, 10, 9, 10});
    CHECK(shared.variance == std::vector<float>{11, 12, 11, 12});
    CHECK(shared.count == each.count);
}

TEST_CASE("a calibrated polarizer is the identity, an uncalibrated one up to batch norm's eps") {
    RCnpd polarizer(kClasses, kChannels, {});
    const Tensor z = random_tensor({6, 2, 3, kChannels});
    const Tensor labels = labels_of({0, 3, 1, 2, 3, 0});
    check_l2(polarizer.apply(z, labels), engine::ops::scale(z, 1 / std::sqrt(1 + 1e-5f)), 1e-6,
             "fresh");
    polarizer.calibrate(statistics_of(z, labels, kClasses));
    // (z - mean) + mean costs an ulp of the mean.
    check_l2(polarizer.apply(z, labels), z, 1e-6, "calibrated");
    CHECK_THROWS_AS(polarizer.calibrate(statistics_of(z, labels, kClasses + 1)), ShapeError);
}

TEST_CASE("calibration sets batch norm to the features' statistics") {
    RCnpd polarizer(2, 3, {});
    FeatureStatistics s{.classes = 2,
                        .channels = 3,
                        .mean = {1, 2, 3, 4, 5, 6},
                        .variance = {0, 1, 4, 9, 16, 25},
                        .global_mean = {},
                        .global_variance = {},
                        .count = {}};
    polarizer.calibrate(s);
    for (const auto& named : polarizer.state()) {
        const std::vector<float> values = host(named.tensor);
        CAPTURE(named.name);
        const bool second = named.name.starts_with("polarizers.1.");
        const std::size_t first = second ? 3 : 0;
        for (std::size_t c = 0; c < 3; ++c) {
            const float v = s.variance[first + c] + 1e-4f;
            if (named.name.ends_with("bn.running_mean")) CHECK(values[c] == s.mean[first + c]);
            if (named.name.ends_with("bn.bias")) CHECK(values[c] == s.mean[first + c]);
            if (named.name.ends_with("bn.running_var")) CHECK(values[c] == v);
            if (named.name.ends_with("bn.weight"))
                CHECK(values[c] == doctest::Approx(std::sqrt(v + 1e-5f)).epsilon(1e-6));
        }
    }
}

TEST_CASE("a calibrated polarizer leaves the victim's logits as they are") {
    const auto victim = fixture_victim();
    const Fixture passes("preact_resnet18_passes");
    const Tensor input = passes.tensor("input");
    for (const std::string& point : victim->insertion_points()) {
        CAPTURE(point);
        const models::Cut cut = victim->prefix(input, point);
        const Tensor predictions = engine::ops::argmax(victim->suffix(cut, point));
        RCnpd polarizer(10, cut.z.shape()[3], {});
        polarizer.calibrate(statistics_of(cut.z, predictions, 10));
        for (const Routing routing : {Routing::prediction, Routing::ensemble}) {
            const PurifiedModel model(*victim, polarizer,
                                      {.insertion_point = point, .routing = routing, .top_k = 10});
            const Predictions logits = model.predict(input);
            CHECK(identical(logits.victim, victim->forward(input)));
            check_l2(logits.purified, logits.victim, 1e-5, "purified logits");
            CHECK(!logits.purified.requires_grad());
            CHECK(identical(model.predict({.cut = cut, .victim_logits = logits.victim}).purified,
                            logits.purified));
        }
    }
}

TEST_CASE("each sample goes through the polarizer of the victim's prediction") {
    const auto victim = fixture_victim();
    const Tensor input = Fixture("preact_resnet18_passes").tensor("input");
    const std::string point = victim->insertion_point();
    const models::Cut cut = victim->prefix(input, point);
    RCnpd polarizer(10, cut.z.shape()[3], {});
    disturb(polarizer);
    const Tensor logits = victim->suffix(cut, point);
    const PurifiedModel model(*victim, polarizer, {.insertion_point = point});
    const Tensor expected =
        victim->suffix({polarizer.apply(cut.z, engine::ops::argmax(logits)), cut.residual}, point);
    CHECK(identical(model.predict(input).purified, expected.detach()));
    CHECK(relative_l2_error(host(expected), host(logits)) > 0.01);
}

TEST_CASE("an ensemble of all classes is the mixture by the victim's softmax") {
    const auto victim = fixture_victim();
    RCnpd polarizer(10, 3, {});
    disturb(polarizer);
    const Tensor z = random_tensor({4, 2, 3, 3}), logits = random_tensor({4, 10});
    const std::vector<float> p = host(engine::ops::softmax(logits));
    const auto mixture_of = [&](std::int64_t top_k) {
        const PurifiedModel model(
            *victim, polarizer,
            {.insertion_point = "", .routing = Routing::ensemble, .top_k = top_k});
        return model.polarized(z, logits);
    };
    const auto explicit_mixture = [&](std::size_t top_k) {
        std::vector<double> result(z.elements());
        for (std::int64_t n = 0; n < 4; ++n) {
            std::vector<std::pair<float, std::int32_t>> ranked;
            for (std::int32_t y = 0; y < 10; ++y) ranked.emplace_back(-p[n * 10 + y], y);
            std::sort(ranked.begin(), ranked.end());
            ranked.resize(top_k);
            double total = 0;
            for (const auto& [minus_p, y] : ranked) total -= minus_p;
            for (const auto& [minus_p, y] : ranked) {
                const std::vector<float> out = host(polarizer.apply(z.rows(n, 1), labels_of({y})));
                for (std::size_t i = 0; i < out.size(); ++i)
                    result[n * out.size() + i] += -minus_p / total * out[i];
            }
        }
        return result;
    };
    for (const std::int64_t top_k : {1, 3, 10})
        CHECK(relative_l2_error(host(mixture_of(top_k)), explicit_mixture(top_k)) <= 1e-6);
    CHECK(identical(mixture_of(1000), mixture_of(10)));
    check_l2(mixture_of(1), polarizer.apply(z, engine::ops::argmax(logits)), 1e-6, "one of them");
}

TEST_CASE("gradients are multiplied by the number of classes and clipped class by class") {
    RCnpd polarizer(kClasses, kChannels, {}), twin(kClasses, kChannels, {});
    const Tensor z = random_tensor({5, 2, 2, kChannels}), dy = random_tensor(z.shape());
    // Class 1 has much larger features than class 0; class 3 has no samples.
    std::vector<float> scaled = host(z);
    for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] *= i / 20 < 2 ? 0.01f : 10;
    const Tensor features = Tensor::from(scaled, z.shape());
    const Tensor small_dy = engine::ops::scale(dy, 0.02f);
    const Tensor labels = labels_of({0, 0, 1, 1, 2});

    backward(weighted_sum(twin.apply(features, labels), small_dy));
    twin.prepare_gradients(0);
    backward(weighted_sum(polarizer.apply(features, labels), small_dy));
    polarizer.prepare_gradients(1);

    // The unclipped gradients are the number of classes times those of a class alone.
    RCnpd alone(kClasses, kChannels, {});
    for (std::int64_t y = 0; y < 3; ++y) {
        CAPTURE(y);
        const std::int64_t first = 2 * y, count = y < 2 ? 2 : 1;
        alone.refresh();
        backward(weighted_sum(alone.apply(features.rows(first, count), labels.rows(first, count)),
                              small_dy.rows(first, count)));
        alone.prepare_gradients(0);
        const auto own = gradients_of(alone, y), all = gradients_of(twin, y),
                   clipped = gradients_of(polarizer, y);
        for (std::size_t i = 0; i < 3; ++i) check_l2(all[i], own[i], 1e-6, "unclipped");
        const double norm = norm_of(all);
        CHECK((norm > 1) == (y > 0));  // both cases occur
        CHECK(norm_of(clipped) == doctest::Approx(std::min(norm, 1.0)).epsilon(1e-5));
        for (std::size_t i = 0; i < 3; ++i)
            check_l2(clipped[i],
                     engine::ops::scale(all[i], static_cast<float>(std::min(1.0, 1 / norm))), 1e-6,
                     "clipped");
    }
    for (const Tensor& parameter : parameters_of(polarizer, 3)) CHECK(!parameter.grad().defined());
}

TEST_CASE("the factor of the gradients is exactly the number of classes") {
    // out = gamma z + beta: dbeta of class 0 is the sum of dout.
    RCnpd polarizer(kClasses, kChannels, {});
    const Tensor z = random_tensor({1, 1, 1, kChannels});
    backward(sum(polarizer.apply(z, labels_of({0}))));
    polarizer.prepare_gradients(0);
    CHECK(host(parameters_of(polarizer, 0)[2].grad()) == std::vector<float>(kChannels, kClasses));
    // Transferred once; without a new backward() there is no gradient.
    polarizer.prepare_gradients(0);
    for (const Tensor& parameter : parameters_of(polarizer, 0)) CHECK(!parameter.grad().defined());
}

TEST_CASE("a class without samples keeps its parameters and its momentum") {
    RCnpd polarizer(kClasses, kChannels, {});
    disturb(polarizer);
    Sgd optimizer(polarizer.parameter_groups(0.1), {.momentum = 0.9});
    optimizer.set_learning_rate(0.1);
    const auto step = [&](const Tensor& labels) {
        const Tensor z = random_tensor({labels.elements(), 2, 2, kChannels});
        backward(weighted_sum(polarizer.apply(z, labels), random_tensor(z.shape())));
        polarizer.prepare_gradients(1);
        optimizer.step();
        optimizer.zero_grad();
        polarizer.refresh();
    };
    step(labels_of({0, 1, 2, 3}));  // all classes have momentum
    const auto snapshot = [&](std::int64_t y) {
        std::vector<std::vector<float>> values;
        for (const Tensor& parameter : parameters_of(polarizer, y))
            values.push_back(host(parameter));
        const auto state = optimizer.state();
        for (std::int64_t i = 3 * y; i < 3 * y + 3; ++i) values.push_back(host(state[i].tensor));
        return values;
    };
    std::vector<std::vector<std::vector<float>>> before;
    for (std::int64_t y = 0; y < kClasses; ++y) before.push_back(snapshot(y));
    step(labels_of({0, 3, 0}));
    for (std::int64_t y = 0; y < kClasses; ++y) {
        CAPTURE(y);
        const auto after = snapshot(y);
        const bool present = y == 0 || y == 3;
        for (std::size_t i = 0; i < after.size(); ++i) CHECK((after[i] != before[y][i]) == present);
    }
}

TEST_CASE("a gradient that is not finite is an error") {
    RCnpd polarizer(2, 3, {});
    const Tensor z = Tensor::full({1, 1, 1, 3}, std::numeric_limits<float>::infinity());
    backward(sum(polarizer.apply(z, labels_of({1}))));
    CHECK_THROWS_AS(polarizer.prepare_gradients(1), NumericError);
}

TEST_CASE("a saved polarizer has PyTorch's names, and the same maps when loaded") {
    const TemporaryDirectory directory;
    RCnpd original(2, 3, {}), loaded(2, 3, {});
    disturb(original);
    save_tensors(directory / "p", original.state());
    const auto file = SafetensorsFile::read(directory / "p");
    CHECK(file.entries().size() == 2 * 5);
    file.at("polarizers.1.conv.weight", DType::float32, {3, 3, 1, 1});
    for (const char* name : {"weight", "bias", "running_mean", "running_var"})
        file.at(std::string("polarizers.0.bn.") + name, DType::float32, {3});
    auto state = loaded.state();
    load_tensors(directory / "p", state);
    loaded.refresh();
    CHECK(identical(loaded.maps().a, original.maps().a));
    CHECK(identical(loaded.maps().b, original.maps().b));
    CHECK(original.parameter_count() == 2 * (9 + 3 + 3));
}
