#include <algorithm>
#include <numeric>

#include "cnpd/report/chart.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

constexpr std::size_t classes_shown = 12;

// The most frequent classes in their given order, the others summed up at the end.
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
        "<span class=\"track\" title=\"{}\"><span class=\"bar {}\" style=\"width:{:.2f}%\"></span>"
        "</span><span class=\"number\">{}</span>",
        count(value), colour, 100 * clamped_rate(share), percent(share));
}

Markup distribution(const std::vector<PredictionCount>& all) {
    std::int64_t before = 0, after = 0;
    for (const PredictionCount& each : all) {
        before += each.before;
        after += each.after;
    }
    if (before <= 0 && after <= 0) return {};
    Markup out = markup(
        "<div class=\"distribution\"><h3>Poisoned images by predicted class</h3>\n<div "
        "class=\"pair "
        "head\"><span class=\"name\"></span><span>victim</span><span>purified "
        "model</span></div>\n");
    for (const PredictionCount& each : most_frequent(all)) {
        const char* colour = each.is_target ? "attack" : "faint";
        out += markup(
            "<div class=\"pair\"><span class=\"name {}\" title=\"{}\">{}</span>"
            "<span class=\"cell\">{}</span><span class=\"cell\">{}</span></div>\n",
            each.is_target ? "attack" : "", each.class_name, each.class_name,
            count_bar(each.before, before, colour), count_bar(each.after, after, colour));
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
        rows += rate_row("of the poisoned images (TPR)", "defense", detection.true_positive_rate);
    if (detection.true_positive_rate_successful)
        rows += rate_row("of those that fooled the victim", "defense",
                         *detection.true_positive_rate_successful);
    if (is_drawable(detection.false_positive_rate))
        rows += rate_row("of the clean images (FPR)", "faint", detection.false_positive_rate);
    if (!rows.empty()) rows = markup("<h3>Flagged as suspicious</h3>\n{}", rows);
    if (!detection.roc.empty()) rows += roc_chart(detection);
    return rows.empty() ? rows : markup("<div class=\"detection\">{}</div>\n", rows);
}

}  // namespace

Markup predictions_section(const ReportData& data) {
    const Markup where = distribution(data.poisoned_predictions);
    const Markup flags = data.detection ? detection_part(*data.detection) : Markup{};
    Markup seen;
    if (!where.empty())
        seen += markup(
            "The classes that the poisoned test images end up in; a working backdoor gathers them "
            "in <span class=\"attack\">the target class</span>. ");
    if (!flags.empty())
        seen += markup(
            "How often an image is flagged, because the purified model disagrees with the victim: "
            "often where it is poisoned, rarely where it is clean.");
    if (where.empty() && flags.empty()) return {};
    return section("predictions", "All poisoned images", seen,
                   markup("<div class=\"columns\">{}{}</div>\n", where, flags));
}

}  // namespace cnpd::report
