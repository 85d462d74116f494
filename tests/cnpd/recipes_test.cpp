#include "cnpd/training/recipes.h"

#include <string_view>

#include <doctest/doctest.h>

using namespace cnpd;
using namespace cnpd::training;

namespace {

const DefendedData kCifar{.dataset = "cifar10", .classes = 10, .h = 32, .w = 32};
const DefendedData kGtsrb{.dataset = "gtsrb", .classes = 43, .h = 32, .w = 32};
const DefendedData kTiny{.dataset = "tiny-imagenet", .classes = 200, .h = 64, .w = 64};

}  // namespace

TEST_CASE("the ball around an image grows with it") {
    const auto radius = [](const DefendedData& data) {
        return recommended_settings(DefenseRecipe::tuned, "r-cnpd", data).bilevel.pgd.radius;
    };
    CHECK(radius(kCifar) == 3);
    CHECK(radius(kGtsrb) == 2);
    CHECK(radius(kTiny) == 4);
    CHECK(radius({.dataset = "folder", .classes = 2, .h = 96, .w = 96}) == 9);
    CHECK(radius({.dataset = "folder", .classes = 2, .h = 28, .w = 28}) == 3);
}

TEST_CASE("what classes share is trained longer, and faster") {
    for (const char* method : {"npd", "r-cnpd", "ensemble", "e-cnpd", "a-cnpd"}) {
        const BilevelSettings b =
            recommended_settings(DefenseRecipe::tuned, method, kCifar).bilevel;
        const bool shares =
            std::string_view(method) == "e-cnpd" || std::string_view(method) == "a-cnpd";
        CHECK(b.epochs == (shares ? 30 : 20));
        CHECK(b.learning_rate == (shares ? 0.03 : 0.01));
        CHECK(b.clip_norm == (shares ? 3 : 1));
    }
}

TEST_CASE("victims of many classes are attacked in more, shorter steps") {
    for (const DefendedData& data : {kCifar, kGtsrb, kTiny}) {
        BilevelSettings b = recommended_settings(DefenseRecipe::tuned, "r-cnpd", data).bilevel;
        complete(b);
        CHECK(b.pgd_steps == (data.classes > 20 ? 5 : 3));
        CHECK(b.epochs == (data.classes > 20 ? 40 : 20));
        CHECK(b.weights.target == (data.classes > 20 ? 0.1f : 0.3f));
        CHECK(b.pgd.step == doctest::Approx(data.classes > 20 ? 0.0125 * data.h : 1));
    }
}

TEST_CASE("where classes are many, what they share needs much larger steps") {
    const auto tuned = [](const char* method) {
        return recommended_settings(DefenseRecipe::tuned, method, kGtsrb).bilevel;
    };
    CHECK(tuned("r-cnpd").learning_rate == 0.03);
    CHECK(tuned("ensemble").learning_rate == 0.03);
    CHECK(tuned("npd").learning_rate == 0.1);
    CHECK(tuned("e-cnpd").learning_rate == 0.1);
    CHECK(tuned("a-cnpd").learning_rate == 0.5);
    for (const char* method : {"npd", "e-cnpd", "a-cnpd"}) {
        CHECK(tuned(method).epochs == 40);
        CHECK(tuned(method).weights.target == 0.3f);
    }
}

TEST_CASE("the published recipe is NPD's, with its values for each data set") {
    for (const DefendedData& data : {kCifar, kGtsrb, kTiny})
        for (const char* method : {"npd", "r-cnpd", "a-cnpd"}) {
            CAPTURE(data.dataset);
            CAPTURE(method);
            const DefenseSettings s = recommended_settings(DefenseRecipe::published, method, data);
            validate(s);
            const BilevelSettings& b = s.bilevel;
            CHECK(b.warmup_epochs == 5);
            CHECK(b.epochs == 50);
            CHECK(b.learning_rate == 0.01);
            CHECK(!b.cosine);
            CHECK(b.clip_norm == 0);
            CHECK(b.pgd_steps == 2);
            CHECK(b.pgd.radius == (data.h == 64                     ? 6.0f
                                   : data.dataset == kGtsrb.dataset ? 5.0f
                                                                    : 3.0f));
            CHECK(b.batch_norm_start == BatchNormStart::published);
            CHECK(!s.augment);
            const bool tiny = data.dataset == kTiny.dataset, npd = s.method == "npd";
            CHECK(b.batch_norm ==
                  (tiny ? polarizers::BatchNormMode::train : polarizers::BatchNormMode::frozen));
            CHECK(b.pgd.gradient == (tiny ? ops::PgdGradient::raw : ops::PgdGradient::sign));
            CHECK(b.pgd.step == 0.1f);
            CHECK(b.strategy == (npd ? Strategy::second : Strategy::random));
            CHECK(b.pgd_through == (npd ? PgdThrough::composite : PgdThrough::plain));
            const bool gtsrb = data.dataset == kGtsrb.dataset;
            CHECK(b.weights.clean == 1);
            CHECK(b.weights.undo == (tiny ? 1.0f : gtsrb ? 0.5f : 0.4f));
            CHECK(b.weights.target == (tiny ? 0.1f : gtsrb ? 0.5f : 0.4f));
            CHECK(b.weights.strongest == b.weights.target);
        }
}

TEST_CASE("fine-tuning has the benchmark's values in every recipe") {
    for (const auto recipe : {DefenseRecipe::tuned, DefenseRecipe::published}) {
        const DefenseSettings cifar = recommended_settings(recipe, "ft", kCifar);
        CHECK(cifar.fine_tuning.epochs == 100);
        CHECK(cifar.fine_tuning.batch_size == 256);
        CHECK(cifar.augment);
        CHECK(recommended_settings(recipe, "ft", kGtsrb).fine_tuning.epochs == 50);
    }
}

TEST_CASE("the step of the inner loop follows from the radius unless it is given") {
    BilevelSettings b = recommended_settings(DefenseRecipe::tuned, "r-cnpd", kCifar).bilevel;
    b.pgd.radius = 6;
    b.pgd_steps = 4;
    complete(b);
    CHECK(b.pgd.step == 1.5f);
    b.pgd.radius = 8;
    complete(b);
    CHECK(b.pgd.step == 1.5f);
    b.pgd.step = 0;
    b.pgd.gradient = ops::PgdGradient::sign;
    complete(b);
    CHECK(b.pgd.step == 0.1f);
}
