#include "cnpd/training/recipes.h"

#include <algorithm>
#include <cmath>

namespace cnpd::training {
namespace {

// In a ball of the same radius an image of more pixels would have less room in each.
float radius_for(const DefendedData& data) {
    const double side = std::sqrt(static_cast<double>(data.h * data.w));
    return static_cast<float>(3 * std::max(side / 32, 1.0));
}

// What was measured for these is in docs/tuning.md.
void tune(BilevelSettings& b, std::string_view method, const DefendedData& data) {
    // What classes share gets one gradient, the mean of all. That of a polarizer for each class is
    // multiplied by the number of classes, and needs smaller steps.
    const bool npd = method == "npd", a_cnpd = method == "a-cnpd", e_cnpd = method == "e-cnpd";
    if (npd) b.strategy = Strategy::second;
    if (a_cnpd || e_cnpd) {
        b.epochs = 30;
        b.learning_rate = 0.03;
        b.clip_norm = 3;
    }
    constexpr std::int64_t kMany = 20;
    if (data.classes <= kMany) return;
    // A victim of many classes is sure of itself: long steps overshoot.
    b.pgd_steps = 5;
    b.pgd.radius *= 2.0f / 3;
    b.clip_norm = 3;
    b.epochs = 40;
    if (npd || a_cnpd || e_cnpd) {
        b.learning_rate = a_cnpd ? 0.5 : 0.1;
    } else {
        b.learning_rate = 0.03;
        b.weights = {.clean = 1, .undo = 0.02f, .strongest = 0.02f, .target = 0.1f};
    }
}

void use_published(DefenseSettings& s, const DefendedData& data) {
    const bool tiny = data.dataset == "tiny-imagenet", gtsrb = data.dataset == "gtsrb";
    BilevelSettings& b = s.bilevel;
    if (gtsrb) b.pgd.radius = 5;
    b.warmup_epochs = 5;
    b.epochs = 50;
    b.cosine = false;
    b.clip_norm = 0;
    b.batch_norm_start = BatchNormStart::published;
    if (tiny) b.batch_norm = polarizers::BatchNormMode::train;
    use_published_inner_loop(b);
    if (tiny) b.pgd.gradient = ops::PgdGradient::raw;
    if (s.method == "npd") {
        b.strategy = Strategy::second;
        b.pgd_through = PgdThrough::composite;
    }
    const float each = gtsrb ? 0.5f : 0.4f;
    b.weights =
        tiny ? ops::DefenseLossWeights{.clean = 1, .undo = 1, .strongest = .1f, .target = .1f}
             : ops::DefenseLossWeights{.clean = 1, .undo = each, .strongest = each, .target = each};
    s.augment = s.method == "ft";
}

}  // namespace

DefenseSettings recommended_settings(DefenseRecipe recipe, std::string_view method,
                                     const DefendedData& data) {
    DefenseSettings s;
    s.method = method;
    s.recipe = recipe;
    s.bilevel.pgd.radius = radius_for(data);
    s.bilevel.pgd.step = 0;
    s.fine_tuning = recipe_from_name("fine-tuning");
    if (data.dataset == "gtsrb") s.fine_tuning.epochs = 50;
    if (recipe == DefenseRecipe::published)
        use_published(s, data);
    else
        tune(s.bilevel, method, data);
    return s;
}

void complete(BilevelSettings& b) {
    if (b.pgd.step > 0) return;
    b.pgd.step = b.pgd.gradient == ops::PgdGradient::normalised
                     ? b.pgd.radius / static_cast<float>(b.pgd_steps)
                     : 0.1f;
}

}  // namespace cnpd::training
