#include <algorithm>

#include "cnpd/report/html.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

// A sentence in pieces, so that the page can colour what the text only says.
struct Piece {
    std::string text;
    const char* colour = "";  // class of the style sheet; plain where empty
};
using Sentence = std::vector<Piece>;

void tell_success(Sentence& sentence, const ResultRow* before, const ResultRow* after) {
    if (before && after) {
        sentence.insert(sentence.end(), {{"The trigger worked on "},
                                         {percent(before->asr), "attack"},
                                         {" of the images before and on "},
                                         {percent(after->asr), "defense"},
                                         {" after"}});
    } else {
        sentence.insert(sentence.end(), {{"The trigger works on "},
                                         {percent((before ? before : after)->asr), "attack"},
                                         {" of the images"}});
    }
}

void tell_accuracy(Sentence& sentence, const ResultRow* before, const ResultRow* after) {
    if (before && after) {
        sentence.push_back(
            {"clean accuracy went from " + percent(before->acc) + " to " + percent(after->acc)});
    } else {
        sentence.push_back({"clean accuracy is " + percent((before ? before : after)->acc)});
    }
}

// Only what was measured on both sides is compared.
Sentence verdict_pieces(const ReportData& data) {
    const ResultRow* before = victim_row(data);
    const ResultRow* after = highlighted_row(data);
    if (!before && !after) return {};
    const auto measured = [&](double ResultRow::*rate) {
        return (!before || is_drawable(before->*rate)) && (!after || is_drawable(after->*rate));
    };
    Sentence sentence;
    if (measured(&ResultRow::asr)) tell_success(sentence, before, after);
    if (measured(&ResultRow::acc)) {
        const std::size_t start = sentence.size();
        if (start > 0) sentence.push_back({"; "});
        tell_accuracy(sentence, before, after);
        if (start == 0) sentence[0].text[0] = 'C';
    }
    if (!sentence.empty()) sentence.push_back({"."});
    return sentence;
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

Markup tile(const Tile& tile, const ResultRow* before, const ResultRow* after) {
    const ResultRow& last = after ? *after : *before;
    Markup out = markup(
        "<div class=\"tile\"><h3>{}</h3><p class=\"big {}\">{}</p><p class=\"meaning\">{}</p>",
        tile.name, after ? tile.after_colour : tile.before_colour, percent(last.*tile.rate),
        tile.meaning);
    if (before && after) {
        out += tile_bar(before->*tile.rate, tile.before_colour, "before");
        out += tile_bar(after->*tile.rate, tile.after_colour, "after");
    }
    out.html += "</div>\n";
    return out;
}

Markup tiles(const ReportData& data) {
    const ResultRow* before = victim_row(data);
    const ResultRow* after = highlighted_row(data);
    if (!before && !after) return {};
    static constexpr Tile all[] = {
        {"ASR", "poisoned images predicted as the attacker wants", &ResultRow::asr, "attack",
         "defense"},
        {"ACC", "clean images predicted right", &ResultRow::acc, "faint", "defense"},
        {"R-ACC", "poisoned images predicted as what they show", &ResultRow::r_acc, "faint",
         "defense"}};
    Markup out = markup("<div class=\"tiles\">\n");
    for (const Tile& each : all) out += tile(each, before, after);
    out.html += "</div>\n";
    return out;
}

struct Columns {
    bool der = false, parameters = false, seconds = false;
};

// On a phone the rows become blocks, and each cell shows its column's name itself.
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
    if (data.n_clean > 0) text = "ACC counts " + count(data.n_clean) + " clean test images. ";
    if (data.n_poisoned > 0)
        text += "ASR and R-ACC count " + count(data.n_poisoned) + " poisoned ones. ";
    return text;
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
    std::string text;
    for (const Piece& piece : verdict_pieces(data)) text += piece.text;
    return text;
}

Markup headline(const ReportData& data) {
    Markup out = markup("<header>\n");
    if (!data.title.empty()) out += markup("<h1>{}</h1>\n", data.title);
    if (!data.subtitle.empty()) out += markup("<p class=\"subtitle\">{}</p>\n", data.subtitle);
    Markup sentence;
    for (const Piece& piece : verdict_pieces(data))
        sentence += *piece.colour ? markup("<b class=\"{}\">{}</b>", piece.colour, piece.text)
                                  : markup("{}", piece.text);
    if (!sentence.empty()) out += markup("<p class=\"verdict\">{}</p>\n", sentence);
    out += tiles(data);
    out.html += "</header>\n";
    return out;
}

Markup results_section(const ReportData& data) {
    if (data.results.empty()) return {};
    Columns columns;
    for (const ResultRow& row : data.results) {
        columns.der |= row.der.has_value();
        columns.parameters |= row.parameters_trained.has_value();
        columns.seconds |= row.seconds.has_value();
    }
    Markup table = markup(
        "<div class=\"scroll\"><table class=\"results\">\n<thead><tr><th scope=\"col\">Model</th>"
        "<th scope=\"col\">ACC</th><th scope=\"col\">ASR</th><th scope=\"col\">R-ACC</th>");
    if (columns.der) table.html += "<th scope=\"col\">DER</th>";
    if (columns.parameters) table.html += "<th scope=\"col\">Parameters trained</th>";
    if (columns.seconds) table.html += "<th scope=\"col\">Time</th>";
    table.html += "</tr></thead>\n<tbody>\n";
    for (const ResultRow& row : data.results) table += table_row(row, columns);
    table.html += "</tbody></table></div>\n";
    const Markup seen = data.results.size() > 1
                            ? markup(
                                  "Each model's accuracy on clean images, and how often the "
                                  "trigger still decides. A good defense has a short red bar and "
                                  "keeps ACC and R-ACC high. {}",
                                  counts(data))
                            : markup(
                                  "The model's accuracy on clean images, and how often the "
                                  "trigger decides. {}",
                                  counts(data));
    return section("results", "Results", seen, table);
}

}  // namespace cnpd::report
