#include "cnpd/defenses/polarizing/bilevel.h"

#include <cmath>
#include <numeric>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "cnpd/defenses/polarizing/polarizers/stacked.h"
#include "datasets/synthetic/synthetic.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "tests/support/victim.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;
using defenses::BilevelSettings;
using defenses::BilevelTask;
using training::PgdThrough;

namespace {

constexpr const char* kPoint = "layer4.1.conv1";

BilevelSettings settings_with(PgdThrough through) {
    BilevelSettings settings{.insertion_point = kPoint,
                             .warmup_epochs = 1,
                             .epochs = 8,
                             .batch_size = 16,
                             .learning_rate = 0.05};
    settings.adversary.through = through;
    return settings;
}

// A frozen victim, clean images and a calibrated polarizer.
struct Defense {
    std::unique_ptr<models::Classifier> victim = fixture_victim();
    datasets::BatchSource images{datasets::synthetic::generate({.train = 48, .test = 1}).train,
                                 {0.5f, 0.5f, 0.5f},
                                 {0.25f, 0.25f, 0.25f},
                                 {}};
    polarizers::RCnpd polarizer{10, 64, {}};

    Defense() {
        const NoGrad no_grad;
        std::vector<std::int32_t> all(images.size());
        std::iota(all.begin(), all.end(), 0);
        const models::Cut cut = victim->prefix(images.input(all), kPoint);
        polarizers::FeatureStatisticsCollector collector(10, 64);
        collector.add(cut.z, engine::ops::argmax(victim->suffix(cut, kPoint)));
        polarizer.calibrate(collector.finish());
    }

    // The records of all epochs.
    std::vector<nlohmann::ordered_json> train(const BilevelSettings& settings) {
        BilevelTask task(*victim, polarizer, images, nullptr, settings);
        std::vector<nlohmann::ordered_json> records(task.epochs());
        for (std::int64_t epoch = 0; epoch < task.epochs(); ++epoch) {
            for (std::int64_t batch = 0; batch < task.batches(); ++batch) task.step(epoch, batch);
            task.end_epoch(epoch, 0, records[epoch]);
        }
        return records;
    }
};

std::vector<std::vector<float>> values_of(nn::Module& module) {
    std::vector<std::vector<float>> values;
    for (const nn::NamedTensor& each : module.state())
        if (each.tensor.dtype() == DType::float32) values.push_back(each.tensor.to_host<float>());
    return values;
}

}  // namespace

TEST_CASE(
    "the bi-level problem trains the polarizers, reproducibly, and does not change the victim") {
    for (const PgdThrough through : {PgdThrough::plain, PgdThrough::composite, PgdThrough::both}) {
        CAPTURE(static_cast<int>(through));
        Defense defense, again;
        const auto victim = values_of(*defense.victim), start = values_of(defense.polarizer);
        const auto records = defense.train(settings_with(through));
        again.train(settings_with(through));
        CHECK(values_of(*defense.victim) == victim);
        CHECK(values_of(defense.polarizer) != start);
        CHECK(values_of(defense.polarizer) == values_of(again.polarizer));
        CHECK(records[0].contains("loss_clean"));
        CHECK(!records[0].contains("loss_undo"));  // the warm-up has no adversarial examples
        CHECK(records.back()["loss_target"] < records[1]["loss_target"]);
    }
}

TEST_CASE("running statistics are updated only in BatchNormMode::train") {
    for (const auto mode : {polarizers::BatchNormMode::frozen, polarizers::BatchNormMode::train}) {
        CAPTURE(static_cast<int>(mode));
        Defense defense, again;
        auto settings = settings_with(PgdThrough::both);
        settings.batch_norm = mode;
        const auto start = defense.polarizer.state();
        std::vector<std::vector<float>> before;
        for (const auto& each : start) before.push_back(each.tensor.to_host<float>());
        const auto records = defense.train(settings);
        again.train(settings);
        CHECK(values_of(defense.polarizer) == values_of(again.polarizer));
        bool moved = false;
        for (std::size_t i = 0; i < start.size(); ++i)
            if (!start[i].trainable) moved |= start[i].tensor.to_host<float>() != before[i];
        CHECK(moved == (mode == polarizers::BatchNormMode::train));
        CHECK(defense.polarizer.batch_norm_mode() == polarizers::BatchNormMode::frozen);
        CHECK(records.back()["loss_target"] < records[1]["loss_target"]);
    }
}

TEST_CASE("BatchNormStart::published collects statistics in the warm-up and keeps them") {
    Defense calibrated;
    polarizers::RCnpd fresh(10, 64, {});
    auto settings = settings_with(PgdThrough::plain);
    settings.batch_norm_start = defenses::BatchNormStart::published;
    settings.warmup_epochs = 40;
    settings.epochs = 1;
    BilevelTask task(*calibrated.victim, fresh, calibrated.images, nullptr, settings);
    const auto statistics = [](polarizers::RCnpd& polarizer) {
        std::vector<std::vector<float>> values;
        for (const auto& each : polarizer.state())
            if (!each.trainable) values.push_back(each.tensor.to_host<float>());
        return values;
    };
    const auto start = statistics(fresh);
    const auto train = [&](std::int64_t epoch) {
        for (std::int64_t batch = 0; batch < task.batches(); ++batch) task.step(epoch, batch);
    };
    for (std::int64_t epoch = 0; epoch < settings.warmup_epochs; ++epoch) train(epoch);
    const auto gathered = statistics(fresh);
    CHECK(gathered != start);
    // The map is still near the identity, so they are near the features' statistics, except for
    // classes that the victim does not predict.
    const auto measured = statistics(calibrated.polarizer);
    double distance = 0, size = 0;
    for (std::size_t i = 0; i < gathered.size(); ++i)
        for (std::size_t c = 0; gathered[i] != start[i] && c < gathered[i].size(); ++c) {
            distance += std::abs(gathered[i][c] - measured[i][c]);
            size += std::abs(measured[i][c]);
        }
    CHECK(distance < 0.2 * size);
    train(settings.warmup_epochs);
    CHECK(statistics(fresh) == gathered);
}

TEST_CASE("examples made against the polarizer keep a larger target loss than the victim's") {
    const auto last_target_loss = [](PgdThrough through) {
        return Defense().train(settings_with(through)).back()["loss_target"].get<double>();
    };
    const double plain = last_target_loss(PgdThrough::plain);
    CHECK(last_target_loss(PgdThrough::composite) > 1.1 * plain);
    CHECK(last_target_loss(PgdThrough::both) > 1.1 * plain);
}

TEST_CASE("a polarizer can be trained with every strategy") {
    using training::Strategy;
    for (const Strategy strategy : {Strategy::second, Strategy::target, Strategy::wrong,
                                    Strategy::untarget, Strategy::random})
        for (const PgdThrough through : {PgdThrough::plain, PgdThrough::composite}) {
            CAPTURE(static_cast<int>(strategy));
            CAPTURE(static_cast<int>(through));
            Defense defense, again;
            auto settings = settings_with(through);
            settings.epochs = 4;
            settings.adversary.strategy = strategy;
            if (strategy == Strategy::target || strategy == Strategy::wrong)
                settings.adversary.target_of_class = std::vector<std::int32_t>(10, 3);
            const auto start = values_of(defense.polarizer);
            const auto records = defense.train(settings);
            again.train(settings);
            CHECK(values_of(defense.polarizer) != start);
            CHECK(values_of(defense.polarizer) == values_of(again.polarizer));
            for (const auto& record : records)
                for (const auto& [name, value] : record.items())
                    CHECK(std::isfinite(value.get<double>()));
            // The victim stays as easily fooled as it was; the purified model need not.
            if (through == PgdThrough::plain) CHECK(records.back()["fooled"] > 0);
        }
}
