// A report with all parts, a report with malicious content, and checks for all pages.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cnpd/report/report_data.h"

namespace cnpd::report {

inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline const std::string dash = "\xE2\x80\x93";

inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

inline int occurrences(std::string_view text, std::string_view part) {
    int found = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + part.size()))
        ++found;
    return found;
}

inline bool is_entity(std::string_view text) {
    for (std::string_view known : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"})
        if (text.substr(0, known.size()) == known) return true;
    return false;
}

// Parses one tag after its "<" and returns the first error, or an empty string.
inline std::string check_tag(std::string_view tag, std::vector<std::string>& open) {
    const bool closing = tag.starts_with('/'), empty = tag.ends_with('/');
    if (closing) tag.remove_prefix(1);
    if (empty) tag.remove_suffix(1);
    const std::string name(tag.substr(0, tag.find_first_of(" \n")));
    if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz123456") != name.npos)
        return "tag name '" + name + "'";
    if (closing) {
        if (open.empty() || open.back() != name) return "closing tag of '" + name + "'";
        open.pop_back();
        return {};
    }
    std::string_view rest = tag.substr(name.size());
    while (!rest.empty()) {
        if (rest[0] != ' ') return "attributes of '" + name + "'";
        const auto equals = rest.find("=\"");
        if (equals == rest.npos) return "attribute without value in '" + name + "'";
        const auto end = rest.find('"', equals + 2);
        if (end == rest.npos) return "open quote in '" + name + "'";
        rest.remove_prefix(end + 1);
    }
    if (!empty) open.push_back(name);
    return {};
}

// The first error against well-formed XML in `html`, for the subset that the page uses.
inline std::string malformed(std::string_view html) {
    constexpr std::string_view doctype = "<!DOCTYPE html>\n";
    if (!html.starts_with(doctype)) return "doctype";
    html.remove_prefix(doctype.size());
    std::vector<std::string> open;
    for (std::size_t i = 0; i < html.size(); ++i) {
        if (html[i] == '&' && !is_entity(html.substr(i)))
            return "entity " + std::string(html.substr(i, 8));
        if (html[i] != '<') continue;
        std::size_t end = i + 1;
        for (bool quoted = false; end < html.size() && (quoted || html[end] != '>'); ++end) {
            if (html[end] == '"') quoted = !quoted;
            if (html[end] == '<') return "< inside a tag";
            if (html[end] == '&' && !is_entity(html.substr(end))) return "entity in an attribute";
        }
        if (end == html.size()) return "open tag";
        if (std::string wrong = check_tag(html.substr(i + 1, end - i - 1), open); !wrong.empty())
            return wrong;
        i = end;
    }
    return open.empty() ? "" : "'" + open.back() + "' is not closed";
}

inline Image gradient(int height, int width, int channels, int shift) {
    Image image{.height = height, .width = width, .channels = channels, .pixels = {}};
    for (int i = 0; i < height * width * channels; ++i)
        image.pixels.push_back(static_cast<std::uint8_t>((i * 7 + shift) % 200));
    return image;
}

inline FeatureMap features(int height, int width, int channels, float scale) {
    FeatureMap map{.height = height, .width = width, .channels = channels, .values = {}};
    for (int i = 0; i < height * width * channels; ++i)
        map.values.push_back(scale * std::sin(0.7f * static_cast<float>(i)));
    return map;
}

inline Series series(Quantity quantity, std::vector<double> values) {
    Series result{.quantity = quantity, .name = {}, .epoch = {}, .value = std::move(values)};
    for (std::size_t i = 0; i < result.value.size(); ++i)
        result.epoch.push_back(static_cast<double>(i + 1));
    return result;
}

inline ReportData full_report() {
    ReportData data;
    data.title = "BadNets on signs";
    data.subtitle = "a small run";
    data.facts = {{"Poison ratio", "10 %"}, {"Seed", "0"}};
    data.commands = {"cnpd train --attack badnets", "cnpd defend runs/badnets"};
    data.results = {{.name = "Victim", .acc = .942, .asr = .991, .r_acc = .006, .is_victim = true},
                    {.name = "NPD",
                     .acc = .92,
                     .asr = .3,
                     .r_acc = .6,
                     .der = .8,
                     .parameters_trained = 263168},
                    {.name = "r-CNPD",
                     .acc = .931,
                     .asr = .008,
                     .r_acc = .912,
                     .seconds = 84,
                     .highlight = true}};
    data.n_clean = 10000;
    data.n_poisoned = 9000;
    data.victim_training = {series(Quantity::acc, {.4, .7, .9}), series(Quantity::asr, {.8, .9, 1}),
                            series(Quantity::loss, {2, 1, .5})};
    data.defense_training = {series(Quantity::r_acc, {.4, .7, .9}),
                             series(Quantity::learning_rate, {.01, .005, 0})};
    data.examples = {{.clean = gradient(8, 8, 3, 0),
                      .poisoned = gradient(8, 8, 3, 10),
                      .original_class = "horse",
                      .backdoor_class = "airplane",
                      .before = {{"airplane", .99}, {"horse", .005}},
                      .after = {{"horse", .9}, {"deer", .05}, {"airplane", .01}, {"cat", .001}},
                      .defended_right = true,
                      .flagged = true}};
    data.features = InsertionPoint{.name = "layer4.1.conv1",
                                   .poisoned = {.image = gradient(8, 8, 3, 10),
                                                .polarizer_class = "airplane",
                                                .before = features(4, 4, 17, 2),
                                                .after = features(4, 4, 17, 1)},
                                   .clean = {.image = gradient(8, 8, 3, 0),
                                             .polarizer_class = "horse",
                                             .before = features(4, 4, 17, 1),
                                             .after = features(4, 4, 17, 1)}};
    data.environment = {{"Date", "2026-01-01T00:00:00Z"}, {"Threads", "2"}};
    data.classes = {"airplane", "horse", "deer"};
    data.target = 0;
    data.clean_predictions = {.before = {90, 5, 5, 1, 99, 0, 2, 3, 95},
                              .after = {80, 10, 10, 1, 99, 0, 2, 3, 95}};
    data.poisoned_predictions = {.before = {0, 0, 0, 4450, 50, 0, 4450, 0, 50},
                                 .after = {0, 0, 0, 36, 4464, 0, 36, 0, 4464}};
    data.detection = Detection{.true_positive_rate = .98,
                               .false_positive_rate = .07,
                               .true_positive_rate_successful = .99,
                               .auroc = .97,
                               .roc = {{0, 0}, {.07, .98}, {1, 1}}};
    return data;
}

// Every text of the report, and every number.
inline ReportData hostile_report(const std::string& text, double number) {
    ReportData data = full_report();
    data.title = data.subtitle = text;
    data.facts = {{text, text}};
    data.commands = {text};
    for (ResultRow& row : data.results) {
        row.name = text;
        row.acc = row.asr = row.r_acc = number;
        row.der = row.seconds = number;
    }
    for (auto* training : {&data.victim_training, &data.defense_training})
        for (Series& each : *training) {
            each.name = text;
            each.value[1] = number;
        }
    Example& example = data.examples[0];
    example.original_class = example.backdoor_class = text;
    for (auto* guesses : {&example.before, &example.after})
        for (Guess& guess : *guesses) guess = {text, number};
    data.features->name = data.features->poisoned.polarizer_class = text;
    data.features->poisoned.after.values[5] = static_cast<float>(number);
    data.classes[0] = text;
    data.detection = Detection{.true_positive_rate = number,
                               .false_positive_rate = number,
                               .true_positive_rate_successful = number,
                               .auroc = number,
                               .roc = {{0, 0}, {number, .5}, {1, number}}};
    return data;
}

// The page loads nothing: none of the constructs that load resources occurs.
inline void check_self_contained(const std::string& html) {
    for (std::string_view loading : {"<link", "<script", "<iframe", "<object", "<embed", "<base",
                                     "<image", "href=", "srcset=", "url(", "@import", "@font-face"})
        CHECK_MESSAGE(!contains(html, loading), loading);
    CHECK(occurrences(html, "src=\"") == occurrences(html, "src=\"data:image/png;base64,"));
}

inline void check_numbers(const std::string& html) {
    for (std::string_view bad : {"\"nan", "\"-nan", "\"inf", "\"-inf", ",nan", ",inf", ",-nan",
                                 ",-inf", " nan", ":nan", ":inf", ">nan", ">inf", ">-nan", ">-inf"})
        CHECK_MESSAGE(!contains(html, bad), bad);
}

}  // namespace cnpd::report
