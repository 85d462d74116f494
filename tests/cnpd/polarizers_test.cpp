// What every polarizer of the registry promises.
#include "cnpd/polarizers/registry.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "cnpd/polarizers/a_cnpd.h"
#include "engine/checkpoint.h"
#include "kernels/common/error.h"
#include "tests/support/files.h"
#include "tests/support/fixtures.h"
#include "tests/support/tape.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::polarizers;
using namespace cnpd::tests;

namespace {

constexpr std::int64_t kClasses = 3, kChannels = 4, kWidth = 2;

const std::vector<PolarizerSettings>& kinds() {
    static const std::vector<PolarizerSettings> all = [] {
        std::vector<PolarizerSettings> settings;
        for (const char* name : {"npd", "r-cnpd"})
            for (const Structure structure :
                 {Structure::conv_bn, Structure::conv, Structure::bn, Structure::double_conv_bn})
                settings.push_back({.name = name, .structure = structure});
        for (const Embedding embedding : {Embedding::concat, Embedding::film})
            settings.push_back(
                {.name = "e-cnpd", .embedding_width = kWidth, .embedding = embedding});
        settings.push_back({.name = "a-cnpd", .experts = 2, .embedding_width = kWidth});
        return settings;
    }();
    return all;
}

std::unique_ptr<Polarizer> make(const PolarizerSettings& settings) {
    return make_polarizer(settings, {.classes = kClasses, .channels = kChannels, .device = {}}, 1);
}

Tensor labels() {
    return Tensor::from(std::vector<std::int32_t>{0, 2, 1, 2, 0, 1}, {6});
}

FeatureStatistics statistics_of(const Tensor& z) {
    FeatureStatisticsCollector collector(kClasses, kChannels);
    collector.add(z, labels());
    return collector.finish();
}

void disturb(Polarizer& polarizer) {
    for (Tensor parameter : polarizer.parameters())
        parameter.copy_from(
            engine::ops::add(parameter.detach(), random_tensor(parameter.shape(), 0.2f)));
    polarizer.refresh();
}

}  // namespace

TEST_CASE("every polarizer starts at the identity") {
    const Tensor z = random_tensor({6, 2, 3, kChannels});
    for (const PolarizerSettings& kind : kinds()) {
        CAPTURE(kind.name);
        const auto polarizer = make(kind);
        CHECK(polarizer->name() == kind.name);
        polarizer->calibrate(statistics_of(z));
        check_l2(polarizer->apply(z, labels()), z, 1e-6, "calibrated");
    }
}

TEST_CASE("every polarizer infers what it has learned") {
    const Tensor z = random_tensor({6, 2, 3, kChannels});
    for (const PolarizerSettings& kind : kinds()) {
        CAPTURE(kind.name);
        CAPTURE(static_cast<int>(kind.structure));
        const auto polarizer = make(kind);
        polarizer->calibrate(statistics_of(z));
        disturb(*polarizer);
        const Tensor learned = polarizer->apply(z, labels());
        const Tensor inferred = polarizer->infer(z, labels());
        CHECK(!inferred.requires_grad());
        check_l2(inferred, learned, 1e-5, "inferred");
        double moved = 0;
        const auto before = host(z), after = host(learned);
        for (std::size_t i = 0; i < before.size(); ++i) moved += std::fabs(after[i] - before[i]);
        CHECK(moved > 0.1 * static_cast<double>(before.size()));
        // Another class is another map, but for the shared polarizer.
        const Tensor other = Tensor::from(std::vector<std::int32_t>{1, 0, 2, 0, 1, 2}, {6});
        CHECK((host(polarizer->infer(z, other)) == host(inferred)) == (kind.name == "npd"));
    }
}

TEST_CASE("every polarizer's gradients are the derivatives, with both kinds of batch norm") {
    const Tensor z = random_tensor({6, 2, 3, kChannels}), dy = random_tensor(z.shape(), 0.3f);
    for (const BatchNormMode mode : {BatchNormMode::frozen, BatchNormMode::train})
        for (const PolarizerSettings& kind : kinds()) {
            CAPTURE(kind.name);
            CAPTURE(static_cast<int>(kind.structure));
            CAPTURE(static_cast<int>(kind.embedding));
            CAPTURE(static_cast<int>(mode));
            const auto polarizer = make(kind);
            polarizer->calibrate(statistics_of(z));
            disturb(*polarizer);
            const BatchNormScope scope(*polarizer, mode);
            const auto loss = [&] {
                polarizer->refresh();
                return weighted_sum(polarizer->apply(z, labels()), dy);
            };
            backward(loss());
            polarizer->prepare_gradients(0);
            const double factor = kind.name == "r-cnpd" ? kClasses : 1;
            constexpr float kStep = 1.0f / 512;
            for (Tensor parameter : polarizer->parameters()) {
                REQUIRE(parameter.grad().defined());
                const std::vector<float> gradient = host(parameter.grad()), at = host(parameter);
                const std::vector<float> direction = random_values(parameter.elements());
                const auto value_at = [&](float step) {
                    const NoGrad no_grad;
                    std::vector<float> moved = at;
                    for (std::size_t i = 0; i < at.size(); ++i) moved[i] += step * direction[i];
                    parameter.copy_from(Tensor::from(moved, parameter.shape()));
                    return static_cast<double>(loss().item());
                };
                const double quotient = (value_at(kStep) - value_at(-kStep)) / (2 * kStep);
                parameter.copy_from(Tensor::from(at, parameter.shape()));
                double slope = 0, length = 0;
                for (std::size_t i = 0; i < gradient.size(); ++i) {
                    slope += static_cast<double>(gradient[i]) / factor * direction[i];
                    length += std::pow(gradient[i] / factor, 2);
                }
                CHECK(std::fabs(slope - quotient) <= 2e-3 * std::sqrt(length) + 3e-3);
            }
        }
}

TEST_CASE("every polarizer comes back from its file") {
    const TemporaryDirectory directory;
    const Tensor z = random_tensor({6, 2, 3, kChannels});
    for (const PolarizerSettings& kind : kinds()) {
        CAPTURE(kind.name);
        const auto original = make(kind), loaded = make(kind);
        original->calibrate(statistics_of(z));
        disturb(*original);
        save_tensors(directory / "p", original->state());
        auto state = loaded->state();
        load_tensors(directory / "p", state);
        loaded->refresh();
        CHECK(host(loaded->infer(z, labels())) == host(original->infer(z, labels())));
    }
}

TEST_CASE("the polarizers have the parameters that the papers count") {
    constexpr std::int64_t kMap = kChannels * kChannels, kNorm = 2 * kChannels;
    const auto count = [](const PolarizerSettings& kind) { return make(kind)->parameter_count(); };
    CHECK(count({.name = "npd"}) == kMap + kNorm);
    CHECK(count({.name = "r-cnpd"}) == kClasses * (kMap + kNorm));
    CHECK(count({.name = "e-cnpd", .embedding_width = kWidth}) ==
          kChannels * (kChannels + kWidth) + kNorm + kClasses * kWidth);
    CHECK(count({.name = "a-cnpd", .experts = 2, .embedding_width = kWidth}) ==
          2 * kMap + (kClasses + 2) * kWidth + kNorm);
    CHECK(count({.name = "npd", .structure = Structure::conv}) == kMap);
    CHECK(count({.name = "npd", .structure = Structure::bn}) == kNorm);
    CHECK(count({.name = "npd", .structure = Structure::double_conv_bn}) == 2 * (kMap + kNorm));
}

TEST_CASE("attention is peaked from the start") {
    // Were it flat, all classes would have the same polarizer, and equal experts stay equal.
    const ACnpd polarizer({.classes = 50, .channels = 2, .experts = 8, .width = 16, .seed = 3}, {});
    const auto attention = host(polarizer.attention());
    double mean_of_largest = 0;
    for (std::size_t y = 0; y < 50; ++y)
        mean_of_largest +=
            *std::max_element(attention.begin() + 8 * y, attention.begin() + 8 * (y + 1)) / 50;
    CHECK(mean_of_largest > 0.6);
}

TEST_CASE("what no polarizer is made of") {
    CHECK_THROWS_WITH_AS(make({.name = "x-cnpd"}),
                         "unknown polarizer 'x-cnpd'; known: npd, r-cnpd, e-cnpd, a-cnpd",
                         InputError);
    CHECK_THROWS_AS(make({.name = "a-cnpd", .structure = Structure::bn}), InputError);
}
