#include <algorithm>

#include "cnpd/report/html.h"
#include "cnpd/report/outcome.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

const char* class_of(Tone tone) {
    switch (tone) {
        case Tone::good:
            return "defense";
        case Tone::bad:
            return "attack";
        default:
            return "";
    }
}

struct Tile {
    const char* name;
    const char* meaning;
    double ResultRow::*rate;
    const char* before_colour;
    const char* after_colour;
};

Markup tile_bar(double rate, const char* colour, const char* name) {
    return markup(
        "<div class=\"bar-row\"><span class=\"who\">{}</span><span class=\"track\"><span "
        "class=\"bar {}\" style=\"width:{:.2f}%\"></span></span><span "
        "class=\"number\">{}</span></div>",
        name, colour, 100 * clamped_rate(rate), percent(rate));
}

Markup tile(const Tile& tile, const ResultRow* before, const ResultRow* after, Tone tone) {
    const ResultRow& last = after ? *after : *before;
    const char* colour = after && tone == Tone::good ? "defense" : "";
    if (tone == Tone::bad && tile.rate == &ResultRow::asr) colour = "attack";
    Markup out = markup(
        "<div class=\"tile\"><h3>{}</h3><p class=\"big {}\">{}</p><p class=\"meaning\">{}</p>",
        tile.name, colour, percent(last.*tile.rate), tile.meaning);
    if (before && after) {
        out += tile_bar(before->*tile.rate, tile.before_colour, "before");
        out += tile_bar(after->*tile.rate, tile.after_colour, "after");
    }
    out.html += "</div>\n";
    return out;
}

Markup tiles(const ReportData& data, Tone tone) {
    const ResultRow* before = victim_row(data);
    const ResultRow* after = highlighted_row(data);
    if (!before && !after) return {};
    static constexpr Tile all[] = {
        {"ASR", "share of the images with the trigger predicted as the attacker wants",
         &ResultRow::asr, "attack", "attack"},
        {"ACC", "share of the clean images predicted as their class", &ResultRow::acc, "faint",
         "defense"},
        {"R-ACC", "share of the images with the trigger predicted as their original class",
         &ResultRow::r_acc, "faint", "defense"}};
    Markup out = markup("<div class=\"tiles\">\n");
    for (const Tile& each : all) {
        const bool of_trigger = each.rate != &ResultRow::acc;
        if (!data.benign || !of_trigger) out += tile(each, before, after, tone);
    }
    if (data.benign && data.detection && is_drawable(data.detection->false_positive_rate))
        out += markup(
            "<div class=\"tile\"><h3>False alarms</h3><p class=\"big\">{}</p><p "
            "class=\"meaning\">share of the clean images flagged</p></div>\n",
            percent(data.detection->false_positive_rate));
    out.html += "</div>\n";
    return out;
}

struct Columns {
    bool untriggered = false, der = false, parameters = false, seconds = false;
};

// On narrow screens rows become blocks, and each cell shows the name of its column.
Markup cell(const char* column, const std::string& text, const Markup& bar = {}) {
    return markup("<td data-name=\"{}\">{}<span class=\"value\">{}</span></td>", column, bar, text);
}

Markup table_row(const ResultRow& row, const Columns& columns) {
    Markup bar;
    if (is_drawable(row.asr))
        bar = markup(
            "<span class=\"track\"><span class=\"bar attack\" "
            "style=\"width:{:.2f}%\"></span></span>",
            100 * clamped_rate(row.asr));
    const char* kind = row.highlight ? "highlight" : row.is_victim ? "victim" : "other";
    const std::string dash = percent(not_measured);
    Markup out = markup("<tr class=\"{}\"><th scope=\"row\">{}</th>", kind, row.name);
    out += cell("ACC", percent(row.acc, 2));
    out += cell("ASR", percent(row.asr, 2), bar);
    if (columns.untriggered) out += cell("Without trigger", percent(row.asr_untriggered, 2));
    out += cell("R-ACC", percent(row.r_acc, 2));
    if (columns.der) out += cell("DER", row.der ? percent(*row.der, 2) : dash);
    if (columns.parameters)
        out += cell("Parameters trained",
                    row.parameters_trained ? count(*row.parameters_trained) : dash);
    if (columns.seconds) out += cell("Time", row.seconds ? duration(*row.seconds) : dash);
    out.html += "</tr>\n";
    return out;
}

std::string counts(const ReportData& data) {
    std::string text;
    if (data.n_clean > 0) text = fmt::format(" Of {} clean test images", count(data.n_clean));
    if (data.n_poisoned > 0)
        text += fmt::format("{} {} with the trigger", text.empty() ? " Of" : " and",
                            count(data.n_poisoned));
    return text.empty() ? text : text + ".";
}

}  // namespace

const ResultRow* victim_row(const ReportData& data) {
    const auto found = std::find_if(data.results.begin(), data.results.end(),
                                    [](const ResultRow& row) { return row.is_victim; });
    return found == data.results.end() ? nullptr : &*found;
}

const ResultRow* highlighted_row(const ReportData& data) {
    const auto found =
        std::find_if(data.results.begin(), data.results.end(),
                     [](const ResultRow& row) { return row.highlight && !row.is_victim; });
    return found == data.results.end() ? nullptr : &*found;
}

std::string verdict(const ReportData& data) {
    const Outcome found = outcome(data);
    if (found.headline.empty()) return found.subtitle;
    return found.headline + "." + (found.subtitle.empty() ? "" : " " + found.subtitle);
}

Markup headline(const ReportData& data) {
    const Outcome found = outcome(data);
    Markup out = markup("<header>\n");
    if (!data.title.empty()) out += markup("<h1>{}</h1>\n", data.title);
    if (!data.subtitle.empty()) out += markup("<p class=\"subtitle\">{}</p>\n", data.subtitle);
    if (!found.headline.empty())
        out += markup("<p class=\"verdict {}\">{}</p>\n", class_of(found.tone), found.headline);
    if (!found.subtitle.empty()) out += markup("<p class=\"numbers\">{}</p>\n", found.subtitle);
    out += tiles(data, found.tone);
    out.html += "</header>\n";
    return out;
}

Markup results_section(const ReportData& data) {
    if (data.results.empty()) return {};
    Columns columns;
    for (const ResultRow& row : data.results) {
        columns.untriggered |= is_drawable(row.asr_untriggered);
        columns.der |= row.der.has_value();
        columns.parameters |= row.parameters_trained.has_value();
        columns.seconds |= row.seconds.has_value();
    }
    Markup table = markup(
        "<div class=\"scroll\"><table class=\"results\">\n<thead><tr><th scope=\"col\">Model</th>"
        "<th scope=\"col\">ACC</th><th scope=\"col\">ASR</th>");
    if (columns.untriggered) table.html += "<th scope=\"col\">Without trigger</th>";
    table.html += "<th scope=\"col\">R-ACC</th>";
    if (columns.der) table.html += "<th scope=\"col\">DER</th>";
    if (columns.parameters) table.html += "<th scope=\"col\">Parameters trained</th>";
    if (columns.seconds) table.html += "<th scope=\"col\">Time</th>";
    table.html += "</tr></thead>\n<tbody>\n";
    for (const ResultRow& row : data.results) table += table_row(row, columns);
    table.html += "</tbody></table></div>\n";
    Markup seen = markup("ACC: share of the clean images predicted as their class.");
    if (!data.benign) {
        seen += markup(
            " ASR (and bar): share of the images with the trigger predicted as the attacker "
            "wants.");
        if (columns.untriggered)
            seen += markup(" Without trigger: the same for these images without the trigger.");
        seen += markup(
            " R-ACC: share of the images with the trigger predicted as their original class.");
    }
    seen += markup("{}", counts(data));
    return section("results", "Results", seen, table);
}

}  // namespace cnpd::report
