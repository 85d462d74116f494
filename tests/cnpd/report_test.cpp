// The report's page: well-formed, self-contained, and unharmed by hostile names and odd numbers.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "cnpd/report/base64.h"
#include "cnpd/report/chart.h"
#include "cnpd/report/colour_map.h"
#include "cnpd/report/html.h"
#include "cnpd/report/markup.h"
#include "cnpd/report/picture.h"
#include "cnpd/report/report_data.h"

namespace cnpd::report {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
const std::string dash = "\xE2\x80\x93";

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

int occurrences(std::string_view text, std::string_view part) {
    int found = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + part.size()))
        ++found;
    return found;
}

bool is_entity(std::string_view text) {
    for (std::string_view known : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"})
        if (text.substr(0, known.size()) == known) return true;
    return false;
}

// Reads one tag from behind its "<" and returns what is wrong with it, or nothing.
std::string check_tag(std::string_view tag, std::vector<std::string>& open) {
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

// What keeps `html` from being well-formed XML (of the kind that the page is written in).
std::string malformed(std::string_view html) {
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

Image gradient(int height, int width, int channels, int shift) {
    Image image{.height = height, .width = width, .channels = channels, .pixels = {}};
    for (int i = 0; i < height * width * channels; ++i)
        image.pixels.push_back(static_cast<std::uint8_t>((i * 7 + shift) % 200));
    return image;
}

FeatureMap features(int height, int width, int channels, float scale) {
    FeatureMap map{.height = height, .width = width, .channels = channels, .values = {}};
    for (int i = 0; i < height * width * channels; ++i)
        map.values.push_back(scale * std::sin(0.7f * static_cast<float>(i)));
    return map;
}

Series series(Quantity quantity, std::vector<double> values) {
    Series result{.quantity = quantity, .name = {}, .epoch = {}, .value = std::move(values)};
    for (std::size_t i = 0; i < result.value.size(); ++i)
        result.epoch.push_back(static_cast<double>(i + 1));
    return result;
}

ReportData full_report() {
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
                      .purified_right = true,
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
    data.poisoned_predictions = {{"airplane", 8900, 72, true}, {"horse", 100, 8928, false}};
    data.detection = Detection{.true_positive_rate = .98,
                               .false_positive_rate = .07,
                               .true_positive_rate_successful = .99,
                               .auroc = .97,
                               .roc = {{0, 0}, {.07, .98}, {1, 1}}};
    return data;
}

// Every text of the report, and every number.
ReportData hostile_report(const std::string& text, double number) {
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
    data.poisoned_predictions[0].class_name = text;
    data.detection = Detection{.true_positive_rate = number,
                               .false_positive_rate = number,
                               .true_positive_rate_successful = number,
                               .auroc = number,
                               .roc = {{0, 0}, {number, .5}, {1, number}}};
    return data;
}

// Nothing is fetched: what a page can load, it names in these.
void check_self_contained(const std::string& html) {
    for (std::string_view loading : {"<link", "<script", "<iframe", "<object", "<embed", "<base",
                                     "<image", "href=", "srcset=", "url(", "@import", "@font-face"})
        CHECK_MESSAGE(!contains(html, loading), loading);
    CHECK(occurrences(html, "src=\"") == occurrences(html, "src=\"data:image/png;base64,"));
}

void check_numbers(const std::string& html) {
    for (std::string_view bad : {"\"nan", "\"-nan", "\"inf", "\"-inf", ",nan", ",inf", ",-nan",
                                 ",-inf", " nan", ":nan", ":inf", ">nan", ">inf", ">-nan", ">-inf"})
        CHECK_MESSAGE(!contains(html, bad), bad);
}

}  // namespace

TEST_CASE("report: a full page is well-formed, self-contained and has every section") {
    const std::string html = render_html(full_report());
    CHECK(malformed(html) == "");
    check_self_contained(html);
    check_numbers(html);
    CHECK(!contains(html, "http://"));
    CHECK(!contains(html, "https://"));
    for (std::string_view id :
         {"results", "examples", "predictions", "features", "training", "run", "glossary"})
        CHECK_MESSAGE(contains(html, "<section id=\"" + std::string(id) + "\">"), id);
    CHECK(contains(html, "10,000 clean"));
    CHECK(contains(html, "9,000 poisoned"));
    CHECK(html.size() > 20'000);
    CHECK(html.size() < 200'000);
}

TEST_CASE("report: the checker sees what is not well-formed") {
    const std::string start = "<!DOCTYPE html>\n";
    CHECK(malformed(start + "<p>a &amp; b<img src=\"x\"/></p>") == "");
    for (const char* bad : {"<p>", "<p></b>", "</p>", "<p class=x></p>", "<p class=\"x></p>",
                            "<p>a & b</p>", "<p title=\"<\"></p>", "<p"})
        CHECK_MESSAGE(malformed(start + bad) != "", bad);
}

TEST_CASE("report: the verdict tells the numbers of the victim and of the highlighted row") {
    ReportData data = full_report();
    const auto plain = [&] {  // with ordinary spaces
        std::string text;
        for (char c : verdict(data))
            if (c == '\xA0')
                text.back() = ' ';
            else
                text += c;
        return text;
    };
    CHECK(plain() ==
          "The trigger worked on 99.1 % of the images before and on 0.8 % after; clean accuracy "
          "went from 94.2 % to 93.1 %.");
    data.results[2].asr = nan;
    CHECK(plain() == "Clean accuracy went from 94.2 % to 93.1 %.");
    data.results.resize(1);
    CHECK(plain() == "The trigger works on 99.1 % of the images; clean accuracy is 94.2 %.");
    data.results.clear();
    CHECK(plain() == "");
}

TEST_CASE("report: hostile names stay text") {
    for (const std::string text :
         {"<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='x",
          "]]></style><h1>", "{} {0} %s", "a&b&amp;", "</title><base href=//evil>",
          "https://example.com/x.js", "/home/user/secret"}) {
        const std::string html = render_html(hostile_report(text, .5));
        CHECK_MESSAGE(malformed(html) == "", text);
        CHECK(occurrences(html, "<img ") == occurrences(html, "<img class=\"pixels\""));
        CHECK(!contains(html, "<script"));
        CHECK(!contains(html, "<base"));
        CHECK(occurrences(html, "src=\"") == occurrences(html, "src=\"data:image/png;base64,"));
        CHECK(contains(html, escape(text)));
    }
}

TEST_CASE("report: escape replaces what is no text") {
    CHECK(escape("<a href=\"x\">'&'</a>") ==
          "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
    CHECK(escape("na\xC3\xAFve \xF0\x9F\x90\x8E") == "na\xC3\xAFve \xF0\x9F\x90\x8E");
    const std::string replacement = "\xEF\xBF\xBD";
    CHECK(escape("\xFF") == replacement);
    CHECK(escape("a\xC3") == "a" + replacement);                               // cut short
    CHECK(escape("\xC0\xBC") == replacement + replacement);                    // "<", overlong
    CHECK(escape("\xED\xA0\x80") == replacement + replacement + replacement);  // surrogate
    CHECK(escape(std::string("a\0b\x1B", 4)) == "a" + replacement + "b" + replacement);
    CHECK(escape("exe\xE2\x80\xAEgpj") == "exe" + replacement + "gpj");  // right-to-left override
    CHECK(shortened("caf\xC3\xA9s", 5) == "caf\xC3\xA9s");
    CHECK(shortened("caf\xC3\xA9s", 4) == "caf\xC3\xA9\xE2\x80\xA6");
}

TEST_CASE("report: values that are not finite become a dash") {
    for (double number : {nan, infinity, -infinity, 1e308, -1e308}) {
        CAPTURE(number);
        const std::string html = render_html(hostile_report("name", number));
        CHECK(malformed(html) == "");
        check_numbers(html);
        CHECK(contains(html, "<span class=\"value\">" + dash + "</span>"));
        CHECK(contains(html, dash + "<title>name, epoch 2: " + dash + "</title>"));
    }
    CHECK(percent(nan) == dash);
    CHECK(number(infinity) == dash);
    CHECK(duration(-1) == dash);
}

TEST_CASE("report: what is empty or contradicts itself is left out") {
    const std::string empty = render_html({});
    CHECK(malformed(empty) == "");
    CHECK(occurrences(empty, "<section") == 1);  // the glossary

    ReportData data = full_report();
    data.examples[0].clean.pixels.pop_back();
    data.features->poisoned.after.values.pop_back();
    data.victim_training[0].epoch.pop_back();
    data.defense_training[0].value.clear();
    data.defense_training[1].value = {nan, nan, nan};
    data.poisoned_predictions = {{"airplane", 0, 0, true}};
    const std::string html = render_html(data);
    CHECK(malformed(html) == "");
    check_numbers(html);
    CHECK(occurrences(html, "<figure>") == 1);
    CHECK(!contains(html, "id=\"features\""));
    CHECK(!contains(html, "<h3>Defense</h3>"));
    CHECK(!contains(html, "class=\"distribution\""));

    data.examples[0].clean = gradient(4, 8, 3, 0);  // no difference between sizes
    CHECK(occurrences(render_html(data), "<figure>") == 2);
}

TEST_CASE("report: without a clean twin the features of the poisoned image remain") {
    ReportData data = full_report();
    data.features->clean = {};
    const std::string html = render_html(data);
    CHECK(malformed(html) == "");
    CHECK(contains(html, "With trigger"));
    CHECK(!contains(html, "Clean twin"));
}

TEST_CASE("report: a data set of many classes is summed up") {
    ReportData data = full_report();
    data.poisoned_predictions.clear();
    for (int i = 0; i < 200; ++i)
        data.poisoned_predictions.push_back(
            {"class" + std::to_string(i), i == 0 ? 9800 : 1, i == 0 ? 0 : i, i == 0});
    const std::string html = render_html(data);
    CHECK(occurrences(html, "<div class=\"pair\">") == 12);
    CHECK(contains(html, ">class0<"));
    CHECK(contains(html, ">class199<"));
    CHECK(!contains(html, ">class1<"));
    CHECK(contains(html, ">189 others<"));
}

TEST_CASE("report: charts survive degenerate series") {
    const auto chart = [](std::vector<double> x, std::vector<double> y) {
        return line_chart({.title = "Loss",
                           .x_name = "epoch",
                           .x_range = {},
                           .y_range = {},
                           .lines = {{.label = "loss", .colour = "plain", .x = x, .y = y}}})
            .html;
    };
    CHECK(chart({}, {}).empty());
    CHECK(chart({1, 2}, {nan, infinity}).empty());
    for (const auto& values : std::vector<std::vector<double>>{
             {3}, {0, 0}, {5e-324, 5e-324}, {-1e99, 1e99}, {1, 1 + 1e-15}, {1, nan, 3}, {-7, -7}}) {
        std::vector<double> epochs;
        for (std::size_t i = 0; i < values.size(); ++i) epochs.push_back(static_cast<double>(i));
        const std::string svg = chart(epochs, values);
        CHECK(malformed("<!DOCTYPE html>\n" + svg) == "");
        check_numbers(svg);
        CHECK(svg.size() < 10'000);
    }
    CHECK(occurrences(chart({0, 1, 2}, {1, nan, 3}), "<circle class=\"dot") == 2);
    std::vector<double> many(100'000);
    for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<double>(i);
    CHECK(chart(many, many).size() < 50'000);
}

TEST_CASE("report: ticks are round and inside their range") {
    CHECK(ticks({0, 1}, 4) == std::vector<double>{0, 0.2, 0.4, 6 * 0.1, 0.8, 1});
    CHECK(ticks({1, 20}, 5) == std::vector<double>{5, 10, 15, 20});
    CHECK(ticks({-3, 3}, 3) == std::vector<double>{-2, 0, 2});
    CHECK(ticks({1, 1}, 5).empty());
    CHECK(ticks({0, infinity}, 5).empty());
}

TEST_CASE("report: numbers are written as the field writes them") {
    CHECK(percent(.98765, 2) == "98.77\xC2\xA0%");
    CHECK(count(0) == "0");
    CHECK(count(999) == "999");
    CHECK(count(-1234567) == "-1,234,567");
    CHECK(count(-123) == "-123");
    CHECK(duration(8.25) == "8.2\xC2\xA0s");
    CHECK(duration(725) == "12\xC2\xA0min 5\xC2\xA0s");
    CHECK(duration(12000) == "3\xC2\xA0h 20\xC2\xA0min");
}

TEST_CASE("report: base64 of RFC 4648, section 10") {
    const auto encoded = [](std::string_view text) {
        return base64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    };
    CHECK(encoded("") == "");
    CHECK(encoded("f") == "Zg==");
    CHECK(encoded("fo") == "Zm8=");
    CHECK(encoded("foo") == "Zm9v");
    CHECK(encoded("foob") == "Zm9vYg==");
    CHECK(encoded("fooba") == "Zm9vYmE=");
    CHECK(encoded("foobar") == "Zm9vYmFy");
    CHECK(encoded("\xFB\xFF") == "+/8=");
}

TEST_CASE("report: the difference of two images is drawn around grey") {
    Example example;
    example.clean = {.height = 1, .width = 3, .channels = 1, .pixels = {10, 200, 50}};
    example.poisoned = {.height = 1, .width = 3, .channels = 1, .pixels = {10, 185, 60}};
    CHECK(difference_gain({example}) == 8);  // 15 * 8 <= 127 < 15 * 16
    CHECK(difference(example.clean, example.poisoned, 8).pixels ==
          std::vector<std::uint8_t>{128, 8, 208});
    example.poisoned.pixels = {255, 200, 50};
    CHECK(difference_gain({example}) == 1);
    CHECK(difference_gain({}) == 32);
}

TEST_CASE("report: colour maps grow lighter with every step") {
    for (auto colour : {activation_colour, change_colour}) {
        double last = -1;
        for (int i = 0; i <= 100; ++i) {
            const Rgb c = colour(i / 100.0);
            const double luma = 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
            CHECK(luma > last - 0.5);  // half a level for rounding
            last = luma;
        }
        CHECK(colour(nan) == Rgb{128, 128, 128});
        CHECK(colour(-5) == colour(0));
        CHECK(colour(7) == colour(1));
    }
}

TEST_CASE("report: a channel of a feature map is coloured on the given scale") {
    const FeatureMap map{.height = 1, .width = 2, .channels = 2, .values = {0, 9, 4, 9}};
    const Image image = channel_image(map, 0, {.low = 0, .high = 4});
    const Rgb low = activation_colour(0), high = activation_colour(1);
    CHECK(image.pixels ==
          std::vector<std::uint8_t>{low[0], low[1], low[2], high[0], high[1], high[2]});
    CHECK(std::isnan(ColourScale{}.position(nan)));
    CHECK(ColourScale{.low = 2, .high = 2}.position(2) == 0.5);
}

}  // namespace cnpd::report
