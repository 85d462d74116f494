#include <algorithm>

#include "cnpd/report/chart.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

const char* name_of(Quantity quantity) {
    switch (quantity) {
        case Quantity::loss:
            return "loss";
        case Quantity::loss_term:
            return "term";
        case Quantity::acc:
            return "ACC";
        case Quantity::asr:
            return "ASR";
        case Quantity::r_acc:
            return "R-ACC";
        case Quantity::learning_rate:
            return "rate";
    }
    return "";
}

const char* colour_of(Quantity quantity) {
    switch (quantity) {
        case Quantity::asr:
            return "attack";
        case Quantity::r_acc:
            return "defense";
        default:
            return "plain";
    }
}

bool is_rate(Quantity quantity) {
    return quantity == Quantity::acc || quantity == Quantity::asr || quantity == Quantity::r_acc;
}

// Lines of the same colour are distinguished by dashes.
template <class Predicate>
std::vector<Line> lines_of(const std::vector<Series>& training, Predicate wanted) {
    constexpr const char* dashes[] = {"", " dash-1", " dash-2", " dash-3"};
    std::vector<Line> lines;
    for (const Series& series : training) {
        if (!wanted(series.quantity)) continue;
        const std::string colour = colour_of(series.quantity);
        const auto same = std::count_if(lines.begin(), lines.end(), [&](const Line& line) {
            return line.colour.starts_with(colour);
        });
        lines.push_back({.label = series.name.empty() ? name_of(series.quantity) : series.name,
                         .colour = colour + dashes[same % std::ssize(dashes)],
                         .x = series.epoch,
                         .y = series.value});
    }
    return lines;
}

Markup training_charts(const char* name, const std::vector<Series>& training) {
    Markup out = line_chart({.title = "Shares of the test images",
                             .x_name = "epoch",
                             .y_percent = true,
                             .x_range = {},
                             .y_range = Range{0, 1},
                             .lines = lines_of(training, is_rate)});
    out +=
        line_chart({.title = "Loss",
                    .x_name = "epoch",
                    .x_range = {},
                    .y_range = {},
                    .lines = lines_of(training, [](Quantity q) { return q == Quantity::loss; })});
    out += line_chart(
        {.title = "Terms of the loss, unweighted",
         .x_name = "epoch",
         .x_range = {},
         .y_range = {},
         .lines = lines_of(training, [](Quantity q) { return q == Quantity::loss_term; })});
    out += line_chart(
        {.title = "Learning rate",
         .x_name = "epoch",
         .x_range = {},
         .y_range = {},
         .lines = lines_of(training, [](Quantity q) { return q == Quantity::learning_rate; })});
    if (out.empty()) return {};
    return markup("<h3>{}</h3>\n<div class=\"charts\">{}</div>\n", name, out);
}

}  // namespace

Markup training_section(const ReportData& data) {
    const Markup victim = training_charts("Victim", data.victim_training);
    const Markup defense = training_charts("Defense", data.defense_training);
    const Markup seen = markup(
        "Metrics after each epoch{}. Hover over or touch a point to show its values; the tables "
        "below the charts list all values.",
        defense.empty() ? "" : "; epoch 0 of the defense is the undefended model");
    return section("training", "Training", seen, markup("{}{}", victim, defense));
}

}  // namespace cnpd::report
