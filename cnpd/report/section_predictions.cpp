#include <algorithm>
#include <numeric>

#include "cnpd/report/chart.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

constexpr std::size_t classes_shown = 12;

// Number of poisoned images predicted as one class.
struct PredictionCount {
    std::string class_name = {};
    std::int64_t before = 0, after = 0;  // by the victim and by the defended model
    bool is_target = false;              // drawn in the attack's colour
};

std::int64_t column_sum(const std::vector<std::int64_t>& matrix, std::size_t column,
                        std::size_t classes) {
    if (matrix.size() != classes * classes) return 0;
    std::int64_t sum = 0;
    for (std::size_t at = column; at < matrix.size(); at += classes) sum += matrix[at];
    return sum;
}

std::vector<PredictionCount> counts_of(const ReportData& data) {
    const std::size_t classes = data.classes.size();
    const Confusion& confusion = data.poisoned_predictions;
    std::vector<PredictionCount> counts;
    for (std::size_t y = 0; y < classes; ++y)
        counts.push_back({.class_name = data.classes[y],
                          .before = column_sum(confusion.before, y, classes),
                          .after = column_sum(confusion.after, y, classes),
                          .is_target = data.target == y});
    return counts;
}

// The most frequent classes in the given order, and the sum of the others at the end.
std::vector<PredictionCount> most_frequent(const std::vector<PredictionCount>& counts) {
    if (counts.size() <= classes_shown) return counts;
    std::vector<std::size_t> order(counts.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto weight = [&](std::size_t i) { return std::max(counts[i].before, counts[i].after); };
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return counts[a].is_target != counts[b].is_target ? counts[a].is_target
                                                          : weight(a) > weight(b);
    });
    const auto cut = order.begin() + (classes_shown - 1);
    PredictionCount rest{.class_name = fmt::format("{} others", order.end() - cut)};
    for (auto i = cut; i != order.end(); ++i) {
        rest.before += counts[*i].before;
        rest.after += counts[*i].after;
    }
    std::sort(order.begin(), cut);
    std::vector<PredictionCount> shown;
    for (auto i = order.begin(); i != cut; ++i) shown.push_back(counts[*i]);
    shown.push_back(rest);
    return shown;
}

Markup count_bar(std::int64_t value, std::int64_t total, const char* colour) {
    const double share =
        total > 0 ? static_cast<double>(value) / static_cast<double>(total) : not_measured;
    return markup(
        "<span class=\"cell\"><span class=\"track\"><span class=\"bar {}\" "
        "style=\"width:{:.2f}%\"></span></span><span class=\"number\">{}</span></span>",
        colour, 100 * clamped_rate(share), percent(share));
}

Markup distribution(const std::vector<PredictionCount>& all) {
    std::int64_t before = 0, after = 0;
    for (const PredictionCount& each : all) {
        before += each.before;
        after += each.after;
    }
    if (before <= 0 && after <= 0) return {};
    const char* kind = before > 0 && after > 0 ? "pair" : "pair single";
    Markup out = markup(
        "<div class=\"distribution\"><h3>Share of the images with the trigger, by predicted "
        "class</h3>\n<div class=\"{} head\"><span class=\"name\"></span>",
        kind);
    if (before > 0) out.html += "<span>victim</span>";
    if (after > 0) out.html += "<span>defended model</span>";
    out.html += "</div>\n";
    for (const PredictionCount& each : most_frequent(all)) {
        const char* colour = each.is_target ? "attack" : "faint";
        out += markup("<div class=\"{}\"><span class=\"name {}\" tabindex=\"0\">{}</span>", kind,
                      each.is_target ? "attack" : "", each.class_name);
        if (before > 0) out += count_bar(each.before, before, colour);
        if (after > 0) out += count_bar(each.after, after, colour);
        out.html += "</div>\n";
    }
    out.html += "</div>\n";
    return out;
}

Markup rate_row(const char* name, const char* colour, double rate) {
    return markup(
        "<div class=\"rate\"><span class=\"name\">{}</span><span class=\"track\"><span class=\"bar "
        "{}\" style=\"width:{:.2f}%\"></span></span><span class=\"number\">{}</span></div>\n",
        name, colour, 100 * clamped_rate(rate), percent(rate));
}

Markup roc_chart(const Detection& detection) {
    Line curve{.label = "ROC", .colour = "defense", .x = {}, .y = {}};
    for (const RocPoint& point : detection.roc) {
        curve.x.push_back(point.false_positive_rate);
        curve.y.push_back(point.true_positive_rate);
    }
    Line here{.label = "as flagged",
              .colour = "attack",
              .x = {detection.false_positive_rate},
              .y = {detection.true_positive_rate}};
    const Range all{0, 1};
    return line_chart(
        {.title = detection.auroc && is_drawable(*detection.auroc)
                      ? fmt::format("True positive rate, area {:.3f}", *detection.auroc)
                      : "True positive rate",
         .x_name = "false positive rate",
         .x_percent = true,
         .y_percent = true,
         .x_range = all,
         .y_range = all,
         .lines = {curve, here}});
}

Markup detection_part(const Detection& detection) {
    Markup rows;
    if (is_drawable(detection.true_positive_rate))
        rows += rate_row("of the images with the trigger (TPR)", "defense",
                         detection.true_positive_rate);
    if (detection.true_positive_rate_successful)
        rows += rate_row("of those that the victim predicts as the backdoor label", "defense",
                         *detection.true_positive_rate_successful);
    if (is_drawable(detection.false_positive_rate))
        rows += rate_row("of the clean images (FPR)", "faint", detection.false_positive_rate);
    if (!rows.empty()) rows = markup("<h3>Share of the images flagged</h3>\n{}", rows);
    if (!detection.roc.empty()) rows += roc_chart(detection);
    return rows.empty() ? rows : markup("<div class=\"detection\">{}</div>\n", rows);
}

}  // namespace

Markup predictions_section(const ReportData& data) {
    const Markup where = distribution(counts_of(data));
    const Markup flags = data.detection ? detection_part(*data.detection) : Markup{};
    const Markup matrices = confusion_part(data);
    Markup seen = markup("Predictions of all test images.");
    if (!flags.empty())
        seen += markup(
            " An image is flagged if the victim and the defended model predict different "
            "classes{}.",
            data.detection->roc.empty()
                ? ""
                : "; the curve varies the threshold on the drop in the probability of the "
                  "victim's class");
    if (!matrices.empty())
        seen += markup(
            " In the confusion matrices, rows are original classes and columns are predicted "
            "classes; shading is the share of the row.");
    Markup content;
    if (!where.empty() || !flags.empty())
        content = markup("<div class=\"columns\">{}{}</div>\n", where, flags);
    content += matrices;
    return section("predictions", "All test images", seen, content);
}

}  // namespace cnpd::report
