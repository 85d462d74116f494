#include <algorithm>

#include "cnpd/report/chart.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

const char* name_of(Quantity quantity) {
    switch (quantity) {
        case Quantity::loss:
            return "loss";
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

template <class Predicate>
std::vector<Line> lines_of(const std::vector<Series>& training, Predicate wanted) {
    std::vector<Line> lines;
    for (const Series& series : training) {
        if (!wanted(series.quantity)) continue;
        // The second line of a quantity is fainter, so that names tell them apart by more than
        // place.
        const auto same = std::count_if(lines.begin(), lines.end(), [&](const Line& line) {
            return line.colour == colour_of(series.quantity);
        });
        lines.push_back({.label = series.name.empty() ? name_of(series.quantity) : series.name,
                         .colour = same ? "faint" : colour_of(series.quantity),
                         .x = series.epoch,
                         .y = series.value});
    }
    return lines;
}

Markup training_charts(const char* name, const std::vector<Series>& training) {
    Markup out = line_chart({.title = "Measured on test images",
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
    Markup seen;
    if (!victim.empty()) seen += markup("The victim learning its task and the backdoor together. ");
    if (!defense.empty()) seen += markup("The defense taking the backdoor out. ");
    seen += markup("Point at a line for its values.");
    return section("training", "Training", seen, markup("{}{}", victim, defense));
}

}  // namespace cnpd::report
