// Properties of all methods' polarizers.
#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "cnpd/defenses/polarizing/polarizers/a_cnpd.h"
#include "cnpd/defenses/polarizing/polarizing.h"
#include "engine/checkpoint.h"
#include "kernels/common/error.h"
#include "tests/support/files.h"
#include "tests/support/fixtures.h"
#include "tests/support/tape.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::polarizers;
using defenses::PolarizerKind;
using namespace cnpd::tests;

namespace {

constexpr std::int64_t kClasses = 3, kChannels = 4, kWidth = 2;  // kWidth: of an embedding

const std::vector<PolarizerKind>& kinds() {
    static const std::vector<PolarizerKind> all = [] {
        std::vector<PolarizerKind> kinds;
        for (const char* method : {"npd", "r-cnpd"})
            for (const char* structure : {"conv-bn", "conv", "bn", "conv-bn-conv-bn"})
                kinds.push_back({.method = method, .options = {{"structure", structure}}});
        for (const char* embedding : {"concat", "film"})
            kinds.push_back({.method = "e-cnpd",
                             .options = {{"embedding-width", std::to_string(kWidth)},
                                         {"embedding", embedding}}});
        kinds.push_back(
            {.method = "a-cnpd",
             .options = {{"experts", "2"}, {"embedding-width", std::to_string(kWidth)}}});
        return kinds;
    }();
    return all;
}

std::unique_ptr<Polarizer> make(const PolarizerKind& kind) {
    return defenses::untrained_polarizer(
        kind, {.classes = kClasses, .channels = kChannels, .device = {}}, 1);
}

std::string said_of(const PolarizerKind& kind) {
    std::string text = kind.method;
    for (const auto& [option, value] : kind.options) text += " --" + option + " " + value;
    return text;
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
    for (const PolarizerKind& kind : kinds()) {
        CAPTURE(said_of(kind));
        const auto polarizer = make(kind);
        CHECK(polarizer->name() == kind.method);
        polarizer->calibrate(statistics_of(z));
        check_l2(polarizer->apply(z, labels()), z, 1e-6, "calibrated");
    }
}

TEST_CASE("every polarizer's inference agrees with its training output") {
    const Tensor z = random_tensor({6, 2, 3, kChannels});
    for (const PolarizerKind& kind : kinds()) {
        CAPTURE(said_of(kind));
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
        // Classes have different maps, except for the shared polarizer.
        const Tensor other = Tensor::from(std::vector<std::int32_t>{1, 0, 2, 0, 1, 2}, {6});
        CHECK((host(polarizer->infer(z, other)) == host(inferred)) == (kind.method == "npd"));
    }
}

TEST_CASE("every polarizer's gradients are the derivatives, with both kinds of batch norm") {
    const Tensor z = random_tensor({6, 2, 3, kChannels}), dy = random_tensor(z.shape(), 0.3f);
    for (const BatchNormMode mode : {BatchNormMode::frozen, BatchNormMode::train})
        for (const PolarizerKind& kind : kinds()) {
            CAPTURE(said_of(kind));
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
            const double factor = kind.method == "r-cnpd" ? kClasses : 1;
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

TEST_CASE("every polarizer can be saved and loaded") {
    const TemporaryDirectory directory;
    const Tensor z = random_tensor({6, 2, 3, kChannels});
    for (const PolarizerKind& kind : kinds()) {
        CAPTURE(said_of(kind));
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

TEST_CASE("the polarizers have as many parameters as in the papers") {
    constexpr std::int64_t kMap = kChannels * kChannels, kNorm = 2 * kChannels;
    const auto count = [](const PolarizerKind& kind) { return make(kind)->parameter_count(); };
    const std::pair<std::string, std::string> width{"embedding-width", std::to_string(kWidth)};
    CHECK(count({.method = "npd"}) == kMap + kNorm);
    CHECK(count({.method = "r-cnpd"}) == kClasses * (kMap + kNorm));
    CHECK(count({.method = "e-cnpd", .options = {width}}) ==
          kChannels * (kChannels + kWidth) + kNorm + kClasses * kWidth);
    CHECK(count({.method = "a-cnpd", .options = {{"experts", "2"}, width}}) ==
          2 * kMap + (kClasses + 2) * kWidth + kNorm);
    CHECK(count({.method = "npd", .options = {{"structure", "conv"}}}) == kMap);
    CHECK(count({.method = "npd", .options = {{"structure", "bn"}}}) == kNorm);
    CHECK(count({.method = "npd", .options = {{"structure", "conv-bn-conv-bn"}}}) ==
          2 * (kMap + kNorm));
}

TEST_CASE("attention is peaked from the start") {
    // With uniform attention all classes would have the same polarizer, and equal experts would
    // stay equal.
    const ACnpd polarizer({.classes = 50, .channels = 2, .experts = 8, .width = 16, .seed = 3}, {});
    const auto attention = host(polarizer.attention());
    double mean_of_largest = 0;
    for (std::size_t y = 0; y < 50; ++y)
        mean_of_largest +=
            *std::max_element(attention.begin() + 8 * y, attention.begin() + 8 * (y + 1)) / 50;
    CHECK(mean_of_largest > 0.6);
}

TEST_CASE("a polarizer of an unknown method, or with options of another method, is refused") {
    const auto refusal = [](const PolarizerKind& kind) { return message_of([&] { make(kind); }); };
    CHECK(refusal({.method = "x-cnpd"}).find("did you mean 'r-cnpd'?") != std::string::npos);
    CHECK(refusal({.method = "ft"}) == "ft has no polarizer");
    CHECK(refusal({.method = "a-cnpd", .options = {{"structure", "bn"}}}) ==
          "a-cnpd has no option --structure");
    CHECK(refusal({.method = "npd", .options = {{"structure", "round"}}}).find("--structure") !=
          std::string::npos);
}

TEST_CASE("the methods with a polarizer of their own") {
    const std::vector<std::string> all = defenses::methods_with_polarizers();
    CHECK(std::set<std::string>(all.begin(), all.end()) ==
          std::set<std::string>{"npd", "r-cnpd", "e-cnpd", "a-cnpd"});
}
