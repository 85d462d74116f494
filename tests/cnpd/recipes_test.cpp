// The values that each defense recommends, read through its declared settings.
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "cnpd/defenses/defense.h"
#include "cnpd/training/adversary.h"

using namespace cnpd;
using defenses::DefendedData;
using defenses::Recipe;
using nlohmann::ordered_json;

namespace {

const DefendedData kCifar{.dataset = "cifar10", .classes = 10, .h = 32, .w = 32};
const DefendedData kGtsrb{.dataset = "gtsrb", .classes = 43, .h = 32, .w = 32};
const DefendedData kTiny{.dataset = "tiny-imagenet", .classes = 200, .h = 64, .w = 64};

// All values of a method, from all sections.
ordered_json recommended(const std::string& method, const DefendedData& data,
                         Recipe recipe = Recipe::tuned) {
    const auto defense = defenses::registry().make(method);
    defense->recommend(recipe, data);
    const settings::Fields fields = settings::fields_of(*defense);
    fields.check();
    ordered_json values;
    for (const settings::Field& field : fields.all()) values[field.name()] = field.json();
    return values;
}

}  // namespace

TEST_CASE("the radius of the ball grows with the image's size") {
    const auto radius = [](const DefendedData& data) {
        return recommended("r-cnpd", data)["pgd_radius"].get<double>();
    };
    CHECK(radius(kCifar) == 3);
    CHECK(radius(kGtsrb) == 2);
    CHECK(radius(kTiny) == 4);
    CHECK(radius({.dataset = "folder", .classes = 2, .h = 96, .w = 96}) == 9);
    CHECK(radius({.dataset = "folder", .classes = 2, .h = 28, .w = 28}) == 3);
}

TEST_CASE("shared polarizers are trained longer and with larger learning rates") {
    for (const std::string method : {"npd", "r-cnpd", "ensemble", "e-cnpd", "a-cnpd"}) {
        CAPTURE(method);
        const ordered_json b = recommended(method, kCifar);
        const bool shares = method == "e-cnpd" || method == "a-cnpd";
        CHECK(b["epochs"] == (shares ? 30 : 20));
        CHECK(b["lr"] == (shares ? 0.03 : 0.01));
        CHECK(b["clip_norm"] == (shares ? 3 : 1));
        CHECK(b["strategy"] == (method == "npd" ? "second" : "random"));
    }
}

TEST_CASE("victims of many classes are attacked in more steps") {
    for (const DefendedData& data : {kCifar, kGtsrb, kTiny}) {
        const bool many = data.classes > 20;
        const ordered_json b = recommended("r-cnpd", data);
        CHECK(b["pgd_steps"] == (many ? 5 : 3));
        CHECK(b["epochs"] == (many ? 40 : 20));
        CHECK(b["lambda_target"] == (many ? 0.1 : 0.3));
        CHECK(b["clip_norm"] == (many ? 3 : 1));
    }
}

TEST_CASE("with many classes, shared polarizers have much larger learning rates") {
    CHECK(recommended("r-cnpd", kGtsrb)["lr"] == 0.03);
    CHECK(recommended("ensemble", kGtsrb)["lr"] == 0.03);
    CHECK(recommended("npd", kGtsrb)["lr"] == 0.1);
    CHECK(recommended("e-cnpd", kGtsrb)["lr"] == 0.1);
    CHECK(recommended("a-cnpd", kGtsrb)["lr"] == 0.5);
    for (const char* method : {"npd", "e-cnpd", "a-cnpd"}) {
        CHECK(recommended(method, kGtsrb)["epochs"] == 40);
        CHECK(recommended(method, kGtsrb)["lambda_target"] == 0.3);
    }
}

TEST_CASE("the published recipe is NPD's, with its values for each data set") {
    for (const DefendedData& data : {kCifar, kGtsrb, kTiny})
        for (const std::string method : {"npd", "r-cnpd", "a-cnpd"}) {
            CAPTURE(data.dataset);
            CAPTURE(method);
            const ordered_json b = recommended(method, data, Recipe::published);
            const bool tiny = data.dataset == kTiny.dataset, npd = method == "npd";
            const bool gtsrb = data.dataset == kGtsrb.dataset;
            CHECK(b["warmup_epochs"] == 5);
            CHECK(b["epochs"] == 50);
            CHECK(b["lr"] == 0.01);
            CHECK(b["cosine"] == false);
            CHECK(b["clip_norm"] == 0);
            CHECK(b["pgd_steps"] == 2);
            CHECK(b["pgd_radius"] == (tiny ? 6 : gtsrb ? 5 : 3));
            CHECK(b["bn_start"] == "published");
            CHECK(b["augment"] == false);
            CHECK(b["polarizer_bn"] == (tiny ? "train" : "frozen"));
            CHECK(b["pgd_gradient"] == (tiny ? "raw" : "sign"));
            CHECK(b["pgd_step_size"] == 0.1);
            CHECK(b["strategy"] == (npd ? "second" : "random"));
            CHECK(b["pgd_through"] == (npd ? "composite" : "plain"));
            CHECK(b["lambda_clean"] == 1);
            CHECK(b["lambda_undo"] == (tiny ? 1 : gtsrb ? 0.5 : 0.4));
            CHECK(b["lambda_target"] == (tiny ? 0.1 : gtsrb ? 0.5 : 0.4));
            CHECK(b["lambda_strongest"] == b["lambda_target"]);
        }
}

TEST_CASE("fine-tuning has the same values in every recipe") {
    for (const auto recipe : {Recipe::tuned, Recipe::published}) {
        const ordered_json cifar = recommended("ft", kCifar, recipe);
        CHECK(cifar["epochs"] == 100);
        CHECK(cifar["batch_size"] == 256);
        CHECK(cifar["augment"] == true);
        CHECK(recommended("ft", kGtsrb, recipe)["epochs"] == 50);
    }
}

TEST_CASE("the step of the inner loop follows from the radius unless it is given") {
    training::AdversarySettings a;
    a.pgd.gradient = ops::PgdGradient::normalised;
    a.pgd.step = 0;
    a.pgd.radius = 6;
    a.steps = 4;
    complete(a);
    CHECK(a.pgd.step == 1.5f);
    a.pgd.radius = 8;
    complete(a);
    CHECK(a.pgd.step == 1.5f);
    a.pgd.step = 0;
    a.pgd.gradient = ops::PgdGradient::sign;
    complete(a);
    CHECK(a.pgd.step == 0.1f);
}
