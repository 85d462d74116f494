#include "cnpd/evaluation/evaluation.h"
#include "cnpd/defenses/polarizing/polarizers/purified_model.h"
#include "cnpd/evaluation/scores.h"

#include <cmath>

#include <doctest/doctest.h>

#include "cnpd/defenses/polarizing/bilevel.h"
#include "cnpd/defenses/polarizing/polarizers/stacked.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "tests/support/compare.h"
#include "tests/support/fixtures.h"
#include "tests/support/victim.h"

using namespace cnpd;
using namespace cnpd::evaluation;
using namespace cnpd::tests;
using engine::Tensor;

namespace {

// Images of one pixel; the first channel is the image's number (mod 256).
datasets::BatchSource counting(std::int64_t count, const std::vector<std::int32_t>& labels) {
    datasets::Images images{.n = count, .h = 1, .w = 1, .c = 2, .labels = labels};
    for (std::int64_t i = 0; i < count; ++i) {
        images.pixels.push_back(static_cast<std::uint8_t>(i));
        images.pixels.push_back(1);
    }
    return {images, {0, 0}, {1, 1}, {}};
}

// Logits whose maximum is class (number mod 3) of such an image.
Tensor modulo_three(const Tensor& input) {
    const std::vector<float> values = input.to_host<float>();
    std::vector<float> logits(values.size() / 2 * 3);
    for (std::size_t i = 0; i < values.size() / 2; ++i)
        logits[i * 3 + static_cast<std::size_t>(std::lround(values[2 * i] * 255)) % 3] = 1;
    return Tensor::from(logits, {input.shape()[0], 3});
}

datasets::BatchSource random_images(std::int64_t count) {
    datasets::Images images{.n = count, .h = 16, .w = 16, .c = 3};
    for (const float value : random_values(count * 16 * 16 * 3, 40, 128))
        images.pixels.push_back(static_cast<std::uint8_t>(std::clamp(value, 0.0f, 255.0f)));
    images.labels = random_labels(count, 10);
    return {images, {.4914f, .4822f, .4465f}, {.247f, .243f, .261f}, {}};
}

}  // namespace

TEST_CASE("every image is predicted once and in order, the last incomplete batch included") {
    for (const std::int64_t count : {std::int64_t{1}, kEvaluationBatch - 1, kEvaluationBatch,
                                     kEvaluationBatch + 1, 2 * kEvaluationBatch + 7}) {
        CAPTURE(count);
        const std::vector<std::int32_t> labels(count);
        std::int64_t seen = 0;
        const auto predictions = predict_all(counting(count, labels), [&](const Tensor& input) {
            CHECK(input.shape()[0] <= kEvaluationBatch);
            CHECK(!engine::gradients_enabled());
            seen += input.shape()[0];
            return modulo_three(input);
        });
        CHECK(seen == count);
        REQUIRE(static_cast<std::int64_t>(predictions.size()) == count);
        for (std::int64_t i = 0; i < count; ++i) CHECK(predictions[i] == i % 256 % 3);
    }
}

TEST_CASE("scores of a model over both test sets") {
    const TestSets sets{.clean = counting(6, {0, 1, 2, 0, 1, 0}),
                        .poisoned = counting(4, {0, 0, 0, 0}),
                        .original_labels = {1, 1, 2, 2},
                        .poisoned_indices = {0, 1, 2, 3}};
    const metrics::Scores scores = evaluate(sets, modulo_three);
    CHECK(scores.acc == doctest::Approx(5.0 / 6));
    CHECK(scores.asr == 0.5);    // images 0 and 3
    CHECK(scores.r_acc == 0.5);  // images 1 and 2
    CHECK(scores.asr_untriggered == 0.5);
}

TEST_CASE("cached features are the prefix's output, and a purified model scores the same on them") {
    const auto victim = fixture_victim();
    const std::string point = victim->insertion_point();
    TestSets sets{.clean = random_images(kEvaluationBatch + 3),
                  .poisoned = random_images(5),
                  .original_labels = random_labels(5, 10),
                  .poisoned_indices = {0, 1, 2, 3, 4}};
    const std::array<CachedFeatures, 2> cached{cache_features(*victim, point, sets.clean),
                                               cache_features(*victim, point, sets.poisoned)};
    REQUIRE(cached[0].cuts.size() == 2);
    CHECK(cached[0].cuts[1].z.shape()[0] == 3);
    CHECK(cached[0].victim_predictions ==
          predict_all(sets.clean, [&](const Tensor& input) { return victim->forward(input); }));
    const models::Cut& cut = cached[1].cuts[0];
    CHECK(cached_bytes(cut, 10) ==
          2 * static_cast<std::int64_t>(cut.z.bytes() + cut.residual.bytes()));

    polarizers::RCnpd polarizer(10, cut.z.shape()[3], {});
    for (Tensor parameter : polarizer.parameters()) {
        const std::vector<float> noise = random_values(parameter.elements(), 0.3f);
        parameter.copy_from(
            engine::ops::add(parameter.detach(), Tensor::from(noise, parameter.shape())));
    }
    polarizer.refresh();
    const polarizers::PurifiedModel model(*victim, polarizer, {.insertion_point = point});
    const metrics::Scores direct =
        evaluate(sets, [&](const Tensor& input) { return model.predict(input).purified; });
    Observer observer(sets);
    observer.measure(model);  // caches the features
    const metrics::Scores from_cache = observer.measure(model);
    CHECK(direct.acc == from_cache.acc);
    CHECK(direct.asr == from_cache.asr);
    CHECK(direct.r_acc == from_cache.r_acc);
    CHECK(direct.n_clean == kEvaluationBatch + 3);
}
