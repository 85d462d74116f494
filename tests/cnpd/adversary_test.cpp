#include "cnpd/training/adversary.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <doctest/doctest.h>

#include "datasets/synthetic/synthetic.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "kernels/common/error.h"
#include "tests/support/victim.h"

using namespace cnpd;
using namespace cnpd::tests;
using engine::NoGrad;
using engine::Tensor;
using training::AdversarialBatch;
using training::Adversary;
using training::AdversarySettings;
using training::PgdThrough;
using training::Strategy;

namespace {

constexpr const char* kPoint = "layer4.1.conv1";
constexpr std::int32_t kClasses = 10;
constexpr Strategy kStrategies[] = {Strategy::random, Strategy::second, Strategy::target,
                                    Strategy::wrong,  Strategy::given,  Strategy::untarget};

bool names_targets(Strategy strategy) {
    return strategy == Strategy::target || strategy == Strategy::wrong ||
           strategy == Strategy::given;
}

// PGD without early stop; class 3 is the target of strategies with fixed targets.
AdversarySettings settings_of(Strategy strategy, PgdThrough through = PgdThrough::both) {
    AdversarySettings settings{.through = through, .strategy = strategy, .stop_share = 2};
    if (names_targets(strategy)) settings.target_of_class.assign(kClasses, 3);
    return settings;
}

// A frozen victim, clean images, and a defended model that halves all features.
struct Scene {
    std::unique_ptr<models::Classifier> victim = fixture_victim();
    datasets::BatchSource images{datasets::synthetic::generate({.train = 24, .test = 1}).train,
                                 {0.5f, 0.4f, 0.3f},
                                 {0.25f, 0.2f, 0.3f},
                                 {}};
    std::vector<std::int32_t> all = std::vector<std::int32_t>(images.size());
    mutable std::vector<std::vector<std::int32_t>> asked{};  // the defended model's labels

    Scene() { std::iota(all.begin(), all.end(), 0); }

    Tensor half(const models::Cut& cut, const cnpd::ops::Routes& routes) const {
        asked.push_back(routes.labels().to_host<std::int32_t>());
        return victim->suffix({engine::ops::scale(cut.z, 0.5f), cut.residual}, kPoint);
    }
    Adversary adversary(const AdversarySettings& settings, std::uint64_t seed = 1) const {
        return Adversary(*victim, kPoint, {images.mean(), images.inverse_std()}, settings, seed,
                         [this](const auto& cut, const auto& routes) { return half(cut, routes); });
    }
    std::vector<std::int32_t> aims(const AdversarySettings& settings, std::uint64_t epoch = 0,
                                   std::uint64_t seed = 1) const {
        return adversary(settings, seed).aims(images, all, epoch).to_host<std::int32_t>();
    }
    AdversarialBatch attack(const AdversarySettings& settings) const {
        const Adversary made = adversary(settings);
        return made.attack(images.pixels(all), made.aims(images, all, 0));
    }
    std::vector<float> pixels() const { return images.pixels(all).to_host<float>(); }
    std::vector<std::int32_t> classes_of(const models::Cut& cut) const {
        const NoGrad no_grad;
        return engine::ops::argmax(victim->suffix(cut, kPoint)).to_host<std::int32_t>();
    }
};

// Distance of each example from its image, in the given norm.
std::vector<double> distances(const std::vector<float>& a, const std::vector<float>& b,
                              std::size_t images, ops::PgdNorm norm) {
    std::vector<double> result(images);
    const std::size_t each = a.size() / images;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = std::abs(static_cast<double>(a[i]) - b[i]);
        double& sum = result[i / each];
        if (norm == ops::PgdNorm::linf) sum = std::max(sum, d);
        if (norm == ops::PgdNorm::l1) sum += d;
        if (norm == ops::PgdNorm::l2) sum += d * d;
    }
    if (norm == ops::PgdNorm::l2)
        for (double& sum : result) sum = std::sqrt(sum);
    return result;
}

}  // namespace

TEST_CASE("adversarial examples lie in the ball around their images, and are images") {
    const Scene scene;
    const std::vector<float> clean = scene.pixels();
    for (const auto& [norm, radius] :
         {std::pair{ops::PgdNorm::l2, 0.5f}, std::pair{ops::PgdNorm::linf, 0.05f},
          std::pair{ops::PgdNorm::l1, 5.0f}})
        for (const Strategy strategy : kStrategies) {
            CAPTURE(static_cast<int>(norm));
            CAPTURE(static_cast<int>(strategy));
            AdversarySettings settings = settings_of(strategy);
            // A single step is longer than the radius.
            settings.pgd = {.norm = norm, .step = 3, .radius = radius};
            const AdversarialBatch batch = scene.attack(settings);
            const std::vector<float> pixels = batch.pixels.to_host<float>();
            REQUIRE(pixels.size() == clean.size());
            CHECK(std::all_of(pixels.begin(), pixels.end(),
                              [](float value) { return value >= 0 && value <= 1; }));
            const auto moved = distances(pixels, clean, scene.all.size(), norm);
            for (const double distance : moved) CHECK(distance <= radius * (1 + 1e-4));
            CHECK(*std::max_element(moved.begin(), moved.end()) > 0.5 * radius);
        }
}

TEST_CASE("the cuts are the victim's, of the images and of the examples") {
    const Scene scene;
    const Adversary adversary = scene.adversary(settings_of(Strategy::random));
    const AdversarialBatch batch = scene.attack(settings_of(Strategy::random));
    const NoGrad no_grad;
    const auto check = [&](const models::Cut& cut, const Tensor& pixels) {
        const models::Cut expected = scene.victim->prefix(adversary.normalise(pixels), kPoint);
        const auto a = cut.z.to_host<float>(), b = expected.z.to_host<float>();
        for (std::size_t i = 0; i < a.size(); ++i)
            CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-3));
    };
    check(batch.clean, scene.images.pixels(scene.all));
    check(batch.adversarial, batch.pixels);
}

TEST_CASE("masked images are unchanged") {
    const Scene scene;
    const std::vector<float> clean = scene.pixels();
    for (const PgdThrough through : {PgdThrough::plain, PgdThrough::composite, PgdThrough::both}) {
        CAPTURE(static_cast<int>(through));
        // Images of all classes but every third one are masked.
        AdversarySettings settings = settings_of(Strategy::given, through);
        for (std::int32_t c = 0; c < kClasses; ++c)
            settings.target_of_class[c] = c % 3 == 0 ? (c + 1) % kClasses : c;
        const AdversarialBatch batch = scene.attack(settings);
        const auto moved =
            distances(batch.pixels.to_host<float>(), clean, scene.all.size(), ops::PgdNorm::linf);
        const auto target = batch.attack.target.to_host<std::int32_t>();
        std::int64_t masked = 0;
        for (std::size_t i = 0; i < moved.size(); ++i) {
            const bool left = scene.images.host_labels()[i] % 3 != 0;
            CHECK((moved[i] == 0) == left);
            if (left) CHECK(target[i] == -1);
            masked += left;
        }
        CHECK((masked > 0 && masked < static_cast<std::int64_t>(moved.size())));
    }
}

TEST_CASE("an adversary whose stop share is reached at the start makes no step") {
    const Scene scene;
    AdversarySettings settings = settings_of(Strategy::random);
    settings.stop_share = -1;
    const AdversarialBatch batch = scene.attack(settings);
    CHECK(batch.pixels.to_host<float>() == scene.pixels());
    CHECK(batch.adversarial.z.to_host<float>() == batch.clean.z.to_host<float>());
}

TEST_CASE("aims of each strategy") {
    const Scene scene;
    const std::vector<std::int32_t>& labels = scene.images.host_labels();
    for (const Strategy strategy : {Strategy::second, Strategy::untarget})
        CHECK(scene.aims(settings_of(strategy)) == labels);
    for (const Strategy strategy : {Strategy::target, Strategy::wrong, Strategy::given}) {
        std::vector<std::int32_t> expected;
        for (const std::int32_t label : labels) expected.push_back(label == 3 ? -1 : 3);
        CHECK(scene.aims(settings_of(strategy)) == expected);
        CHECK(std::count(expected.begin(), expected.end(), -1) > 0);
    }

    const auto random = settings_of(Strategy::random);
    const auto drawn = scene.aims(random);
    for (std::size_t i = 0; i < drawn.size(); ++i) {
        CHECK((drawn[i] >= 0 && drawn[i] < kClasses));
        CHECK(drawn[i] != labels[i]);
    }
    CHECK(scene.aims(random) == drawn);
    CHECK(scene.aims(random, 1) != drawn);
    CHECK(scene.aims(random, 0, 2) != drawn);
    // Aims do not depend on the order of the images.
    const std::int32_t some[] = {5, 2};
    const Tensor of_some = scene.adversary(random).aims(scene.images, some, 0);
    CHECK(of_some.to_host<std::int32_t>() == std::vector<std::int32_t>{drawn[5], drawn[2]});
}

TEST_CASE("targets of the strategies that depend on the logits") {
    const Scene scene;
    const std::vector<std::int32_t>& labels = scene.images.host_labels();
    AdversarySettings settings = settings_of(Strategy::untarget, PgdThrough::plain);
    settings.steps = 5;
    const Adversary driving = scene.adversary(settings);
    const Tensor pixels = scene.images.pixels(scene.all);
    const auto before = scene.classes_of(
        driving.attack(pixels, Tensor::from(labels, {std::ssize(labels)}, {})).clean);
    // Away from the classes that the images have by now, so that none is where it should be.
    const AdversarialBatch away =
        driving.attack(pixels, Tensor::from(before, {std::ssize(before)}, {}));
    const auto reached = scene.classes_of(away.adversarial);
    auto target = away.attack.target.to_host<std::int32_t>();
    for (std::size_t i = 0; i < target.size(); ++i)
        CHECK(target[i] == (reached[i] == before[i] ? -1 : reached[i]));
    CHECK(2 * std::count(target.begin(), target.end(), -1) < std::ssize(target));

    // The second class is the defended model's, and the victim's where there is no such model.
    settings = settings_of(Strategy::second, PgdThrough::plain);
    const auto check_second = [&](const Adversary& adversary, bool defended) {
        const AdversarialBatch batch = adversary.attack(scene.images.pixels(scene.all),
                                                        adversary.aims(scene.images, scene.all, 0));
        const NoGrad no_grad;
        const Tensor own = Tensor::from(labels, {std::ssize(labels)}, {});
        const Tensor logits =
            defended ? scene.half(batch.clean, own) : scene.victim->suffix(batch.clean, kPoint);
        const auto second = ops::strongest_other(logits, own).to_host<std::int32_t>();
        target = batch.attack.target.to_host<std::int32_t>();
        for (std::size_t i = 0; i < target.size(); ++i)
            CHECK(target[i] == (second[i] == before[i] ? -1 : second[i]));
        return second;
    };
    const auto with = check_second(scene.adversary(settings), true);
    const auto without =
        check_second(Adversary(*scene.victim, kPoint,
                               {scene.images.mean(), scene.images.inverse_std()}, settings, 1),
                     false);
    CHECK(with != without);
}

TEST_CASE("the defended model gets the targets of the examples as labels") {
    const Scene scene;
    const auto labels_asked = [&](Strategy strategy) {
        scene.asked.clear();
        const AdversarialBatch batch = scene.attack(settings_of(strategy, PgdThrough::composite));
        CHECK(scene.asked.size() == (strategy == Strategy::second ? 4 : 3));  // steps, and a look
        const Tensor& expected =
            strategy == Strategy::untarget ? batch.attack.predicted : batch.attack.route;
        if (names_targets(strategy) || strategy == Strategy::untarget)
            CHECK(scene.asked.back() == expected.to_host<std::int32_t>());
        return scene.asked.back();
    };
    CHECK(labels_asked(Strategy::random) == scene.aims(settings_of(Strategy::random)));
    for (const Strategy strategy : kStrategies) labels_asked(strategy);
}

TEST_CASE("an adversary is reproducible bit for bit") {
    const Scene scene, again;
    for (const Strategy strategy : kStrategies)
        for (const PgdThrough through :
             {PgdThrough::plain, PgdThrough::composite, PgdThrough::both}) {
            CAPTURE(static_cast<int>(strategy));
            CAPTURE(static_cast<int>(through));
            const AdversarialBatch a = scene.attack(settings_of(strategy, through));
            const AdversarialBatch b = again.attack(settings_of(strategy, through));
            CHECK(a.pixels.to_host<float>() == b.pixels.to_host<float>());
            CHECK(a.adversarial.z.to_host<float>() == b.adversarial.z.to_host<float>());
            CHECK(a.attack.target.to_host<std::int32_t>() ==
                  b.attack.target.to_host<std::int32_t>());
        }
}

TEST_CASE("an adversary refuses inconsistent settings") {
    const Scene scene;
    const auto make = [&](const AdversarySettings& settings) {
        return Adversary(*scene.victim, kPoint, {scene.images.mean(), scene.images.inverse_std()},
                         settings, 1);
    };
    make(settings_of(Strategy::random, PgdThrough::plain));
    for (const PgdThrough through : {PgdThrough::composite, PgdThrough::both})
        CHECK_THROWS_AS(make(settings_of(Strategy::random, through)), Error);
    AdversarySettings settings = settings_of(Strategy::given, PgdThrough::plain);
    settings.target_of_class.pop_back();
    CHECK_THROWS_AS(make(settings), Error);
    settings = settings_of(Strategy::random, PgdThrough::plain);
    settings.target_of_class.assign(kClasses, 3);
    CHECK_THROWS_AS(make(settings), Error);
    settings = settings_of(Strategy::random, PgdThrough::plain);
    settings.steps = 0;
    CHECK_THROWS_AS(make(settings), Error);
}
