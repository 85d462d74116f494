// The whole page: well-formed, self-contained, also with malicious names and special numbers.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "cnpd/report/html.h"
#include "cnpd/report/markup.h"
#include "cnpd/report/picture.h"
#include "tests/cnpd/report_page.h"

namespace cnpd::report {

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
    CHECK(contains(html, "9,000 with the trigger"));
    CHECK(html.size() > 20'000);
    CHECK(html.size() < 250'000);
}

TEST_CASE("report: the checker rejects malformed pages") {
    const std::string start = "<!DOCTYPE html>\n";
    CHECK(malformed(start + "<p>a &amp; b<img src=\"x\"/></p>") == "");
    for (const char* bad : {"<p>", "<p></b>", "</p>", "<p class=x></p>", "<p class=\"x></p>",
                            "<p>a & b</p>", "<p title=\"<\"></p>", "<p"})
        CHECK_MESSAGE(malformed(start + bad) != "", bad);
}

TEST_CASE("report: malicious names stay text") {
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

TEST_CASE("report: values that are not finite become a dash") {
    for (double number : {nan, infinity, -infinity, 1e308, -1e308}) {
        CAPTURE(number);
        const std::string html = render_html(hostile_report("name", number));
        CHECK(malformed(html) == "");
        check_numbers(html);
        CHECK(contains(html, "<span class=\"value\">" + dash + "</span>"));
        CHECK(contains(html, ">name, epoch 2: " + dash + "</text>"));
    }
    CHECK(percent(nan) == dash);
    CHECK(number(infinity) == dash);
    CHECK(duration(-1) == dash);
}

TEST_CASE("report: empty and inconsistent parts are omitted") {
    const std::string empty = render_html({});
    CHECK(malformed(empty) == "");
    CHECK(occurrences(empty, "<section") == 1);  // the glossary

    ReportData data = full_report();
    data.examples[0].clean.pixels.pop_back();
    data.features->poisoned.after.values.pop_back();
    data.features->clean.before.channels = 3;
    data.victim_training[0].epoch.pop_back();
    data.defense_training[0].value.clear();
    data.defense_training[1].value = {nan, nan, nan};
    data.clean_predictions = {};
    data.poisoned_predictions = {.before = {0, 0, 0, 0, 0, 0, 0, 0, 0}, .after = {1, 2}};
    const std::string html = render_html(data);
    CHECK(malformed(html) == "");
    check_numbers(html);
    CHECK(occurrences(html, "<figure>") == 1);
    CHECK(!contains(html, "id=\"features\""));
    CHECK(!contains(html, "<h3>Defense</h3>"));
    CHECK(!contains(html, "class=\"distribution\""));

    data.examples[0].clean = gradient(4, 8, 3, 0);  // no difference of images with different sizes
    CHECK(occurrences(render_html(data), "<figure>") == 2);
}

TEST_CASE("report: features of a poisoned image without its clean image") {
    ReportData data = full_report();
    data.features->clean = {};
    const std::string html = render_html(data);
    CHECK(malformed(html) == "");
    CHECK(contains(html, "With trigger"));
    CHECK(!contains(html, "Without trigger</span>"));
}

TEST_CASE("report: with many classes, rare ones are summed up") {
    ReportData data = full_report();
    data.classes.clear();
    data.clean_predictions = {};
    data.poisoned_predictions = {.before = std::vector<std::int64_t>(200 * 200),
                                 .after = std::vector<std::int64_t>(200 * 200)};
    for (int i = 0; i < 200; ++i) {
        data.classes.push_back("class" + std::to_string(i));
        data.poisoned_predictions.before[i] = i == 0 ? 9800 : 1;
        data.poisoned_predictions.after[3 * 200 + i] = i == 0 ? 0 : i;
    }
    const std::string html = render_html(data);
    CHECK(occurrences(html, "<div class=\"pair\">") == 12);
    CHECK(contains(html, ">class0<"));
    CHECK(contains(html, ">class199<"));
    CHECK(!contains(html, "tabindex=\"0\">class1<"));
    CHECK(contains(html, ">189 others<"));
    CHECK(!contains(html, "<table class=\"confusion\""));  // a picture with its largest counts
    CHECK(occurrences(html, "<div class=\"heat\"><img") == 2);
    CHECK(contains(html, "<li>class3 "));
    CHECK(contains(html, "class199</span>: 199</li>"));
}

TEST_CASE("report: every confusion matrix has its counts") {
    const std::string html = render_html(full_report());
    CHECK(occurrences(html, "<table class=\"confusion\"") == 4);
    CHECK(contains(html, "<td class=\"attack\" style=\"--s:0.989\">4,450</td>"));
    CHECK(contains(html, "<td class=\"diagonal\" style=\"--s:0.992\">4,464</td>"));
}

TEST_CASE("report: a benign victim's page has no trigger, no ratio and no target") {
    ReportData data = full_report();
    data.benign = true;
    data.facts = {};
    data.target.reset();
    data.poisoned_predictions = {};
    data.features->poisoned = {};
    data.examples[0].poisoned = {};
    data.examples[0].backdoor_class = "";
    data.detection = Detection{.false_positive_rate = .07};
    for (ResultRow& row : data.results) row.asr = row.r_acc = nan;
    const std::string html = render_html(data);
    const std::string shown = html.substr(0, html.find("<section id=\"glossary\">"));
    CHECK(malformed(html) == "");
    CHECK(contains(shown, "Benign victim"));
    CHECK(contains(shown, "False alarms"));
    CHECK(contains(shown, "false alarm</span>"));
    CHECK(contains(shown, "<h2>Clean images</h2>"));
    CHECK(contains(shown, "id=\"features\""));
    for (std::string_view word :
         {"trigger</h", "with trigger<", "With trigger", "Target", "removed"})
        CHECK_MESSAGE(!contains(shown, word), word);
}

TEST_CASE("report: a page without examples is complete") {
    ReportData data = full_report();
    data.examples.clear();
    data.features.reset();
    data.detection.reset();
    const std::string html = render_html(data);
    CHECK(malformed(html) == "");
    CHECK(!contains(html, "id=\"examples\""));
}

TEST_CASE("report: a small trigger is ringed and a large one is not") {
    ReportData data = full_report();
    CHECK(!contains(render_html(data), "class=\"ring\""));
    data.examples[0].poisoned = data.examples[0].clean;
    data.examples[0].poisoned.pixels[3 * (8 * 6 + 5)] = 255;  // row 6, column 5
    CHECK(
        contains(render_html(data), "class=\"ring\" style=\"left:56.25%;top:68.75%;width:25.00%;"));
    CHECK(!changed_box(data.examples[0].clean, data.examples[0].clean));
}

TEST_CASE("report: values are accessible without a pointer") {
    const std::string html = render_html(full_report());
    CHECK(!contains(html, " title=\""));  // would be shown on hovering only
    CHECK(occurrences(html, "<div class=\"plot\"") ==
          occurrences(html, "<summary>Values</summary>"));
    CHECK(occurrences(html, "<summary>Mean of each map</summary>") == 1);
    // All values shown at points are also in a table.
    CHECK(contains(html, "ASR, epoch 2: 90.0\xC2\xA0%</text>"));
    CHECK(contains(html, "<th scope=\"row\">2</th><td>70.0\xC2\xA0%</td><td>90.0\xC2\xA0%</td>"));
}

TEST_CASE("report: the terms of a loss have a chart of their own") {
    ReportData data = full_report();
    for (const char* name : {"clean", "undo", "strongest", "target"}) {
        data.defense_training.push_back(series(Quantity::loss_term, {3, 2, 1}));
        data.defense_training.back().name = name;
    }
    const std::string html = render_html(data);
    CHECK(malformed(html) == "");
    CHECK(contains(html, ">Terms of the loss, unweighted</text>"));
    CHECK(contains(html, "<polyline class=\"line plain dash-3\""));
    CHECK(contains(html, ">strongest</text>"));
}

TEST_CASE("report: a fine-tuned model's predictions are in the column after") {
    ReportData data = full_report();
    data.examples[0].before.clear();
    data.poisoned_predictions.before.clear();
    const std::string html = render_html(data);
    CHECK(malformed(html) == "");
    CHECK(contains(html, "<h4>Defended model</h4>"));
    CHECK(!contains(html, "<h4>Victim</h4>"));
    CHECK(contains(html, "pair single"));
}

}  // namespace cnpd::report
