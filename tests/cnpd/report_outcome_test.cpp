// Headline, sentences and tone of every outcome, and the contrast of the colours.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cnpd/report/html.h"
#include "cnpd/report/outcome.h"
#include "cnpd/report/sections.h"
#include "tests/cnpd/report_page.h"

namespace cnpd::report {
namespace {

ResultRow row(double acc, double asr, double untriggered) {
    return {.name = "model", .acc = acc, .asr = asr, .r_acc = .5, .asr_untriggered = untriggered};
}

struct Case {
    const char* what;
    ResultRow before, after;
    OutcomeKind kind;
    Tone tone;
};

// "#rrggbb" of a custom property, in the first or the second block of the style sheet.
std::string colour_named(const std::string& name, int scheme) {
    const std::string css = style_sheet;
    std::size_t at = css.find("--" + name + ": #");
    if (scheme == 1) at = css.find("--" + name + ": #", at + 1);
    REQUIRE(at != css.npos);
    return css.substr(css.find('#', at), 7);
}

std::vector<double> parts_of(const std::string& colour) {
    std::vector<double> parts;
    for (const std::size_t at : {1, 3, 5})
        parts.push_back(std::stoi(colour.substr(at, 2), nullptr, 16));
    return parts;
}

// Relative luminance and contrast of WCAG 2.2.
double luminance(const std::vector<double>& parts) {
    const auto linear = [](double value) {
        value /= 255;
        return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * linear(parts[0]) + 0.7152 * linear(parts[1]) + 0.0722 * linear(parts[2]);
}

double contrast(const std::vector<double>& a, const std::vector<double>& b) {
    const double one = luminance(a), other = luminance(b);
    return (std::max(one, other) + 0.05) / (std::min(one, other) + 0.05);
}

}  // namespace

TEST_CASE("outcome: all kinds for defenses") {
    const std::vector<Case> cases = {
        {"removed", row(.94, .99, .01), row(.93, .01, .01), OutcomeKind::removed, Tone::good},
        {"at a high price", row(.94, .99, .01), row(.8, .01, .01),
         OutcomeKind::removed_at_a_high_price, Tone::mixed},
        {"reduced", row(.94, .99, .01), row(.93, .4, .01), OutcomeKind::reduced, Tone::mixed},
        {"reduced at a high price", row(.94, .99, .01), row(.7, .4, .01), OutcomeKind::reduced,
         Tone::bad},
        {"not removed", row(.94, .99, .01), row(.93, 1, .01), OutcomeKind::not_removed, Tone::bad},
        {"the target always", row(.94, .99, .01), row(.1, 1, 1), OutcomeKind::always_the_target,
         Tone::bad},
        {"never took", row(.2, 1, .907), row(.3, .2, .2), OutcomeKind::attack_never_took,
         Tone::neutral},
        {"untriggered rate unknown", row(.94, .99, nan), row(.93, .01, nan), OutcomeKind::removed,
         Tone::good},
        {"victim unknown", row(nan, nan, nan), row(.93, .01, nan), OutcomeKind::not_compared,
         Tone::neutral},
        {"nothing measured", row(nan, nan, nan), row(nan, nan, nan), OutcomeKind::nothing_measured,
         Tone::neutral},
    };
    for (const Case& each : cases) {
        CAPTURE(each.what);
        const Outcome found = outcome(&each.before, &each.after);
        CHECK(found.kind == each.kind);
        CHECK(found.tone == each.tone);
        const bool claims = contains(found.headline, "is removed");
        CHECK(claims == (each.kind == OutcomeKind::removed ||
                         each.kind == OutcomeKind::removed_at_a_high_price));
        CHECK(found.headline.empty() == (each.kind == OutcomeKind::nothing_measured));
    }
}

TEST_CASE("outcome: an ASR of 100 % after a defense is never a success") {
    for (double untriggered : {0., .5, .907, 1., nan})
        for (double before : {.2, .5, 1.}) {
            const ResultRow victim = row(.9, before, .01), defended = row(.9, 1, untriggered);
            const Outcome found = outcome(&victim, &defended);
            CHECK(found.tone == Tone::bad);
            CHECK(!contains(found.headline, "is removed"));
        }
}

TEST_CASE("outcome: a victim, with the rate without the trigger") {
    const ResultRow works = row(.94, .99, .01), idle = row(.2, 1, .907), alone = row(.94, nan, nan);
    CHECK(outcome(&works, nullptr).kind == OutcomeKind::attack_took);
    CHECK(outcome(&works, nullptr).tone == Tone::bad);
    const Outcome never = outcome(&idle, nullptr);
    CHECK(never.kind == OutcomeKind::attack_never_took);
    CHECK(never.tone == Tone::neutral);
    CHECK(contains(never.subtitle, "90.7\xC2\xA0% without the trigger"));
    CHECK(outcome(&alone, nullptr).kind == OutcomeKind::nothing_measured);
    CHECK(contains(outcome(&alone, nullptr).subtitle, "94.0\xC2\xA0%"));
    CHECK(outcome(nullptr, nullptr).headline == "");
}

TEST_CASE("outcome: a benign victim, and the cost of a defense") {
    const ResultRow victim = row(.94, .8, nan), cheap = row(.94, .1, nan), dear = row(.8, .1, nan);
    const Outcome alone = outcome(&victim, nullptr, true);
    CHECK(alone.kind == OutcomeKind::benign);
    CHECK(contains(alone.headline, "Benign"));
    const Outcome free = outcome(&victim, &cheap, true, .01);
    CHECK(free.kind == OutcomeKind::benign_defended);
    CHECK(free.tone == Tone::neutral);
    CHECK(contains(free.subtitle, "cost no accuracy"));
    CHECK(contains(free.subtitle, "1.0\xC2\xA0% of the clean images are flagged"));
    const Outcome costly = outcome(&victim, &dear, true, .01);
    CHECK(costly.tone == Tone::bad);
    CHECK(contains(costly.subtitle, "cost 14.0 points of accuracy"));
    CHECK(outcome(&victim, &cheap, true, .3).tone == Tone::bad);
    for (const Outcome& each : {alone, free, costly})
        CHECK(!contains(each.headline + each.subtitle, "removed"));
}

TEST_CASE("outcome: values equal to a threshold have the better outcome") {
    const ResultRow victim = row(.9, .9, 0);
    ResultRow after = row(.9, effect_left, 0);
    CHECK(outcome(&victim, &after).kind == OutcomeKind::removed);
    after.asr += 1e-9;
    CHECK(outcome(&victim, &after).kind == OutcomeKind::reduced);
    after.asr = .45;
    CHECK(outcome(&victim, &after).kind == OutcomeKind::reduced);
    after.asr += 1e-9;
    CHECK(outcome(&victim, &after).kind == OutcomeKind::not_removed);
}

TEST_CASE("report: the page has the outcome's headline and colour") {
    ReportData data = full_report();
    CHECK(contains(render_html(data), "<p class=\"verdict defense\">The backdoor is removed</p>"));
    CHECK(contains(verdict(data), "The backdoor is removed. The attacker&") == false);
    CHECK(contains(verdict(data), "from 94.2\xC2\xA0% to 93.1\xC2\xA0%."));
    data.results[2].asr = 1;
    CHECK(
        contains(render_html(data), "<p class=\"verdict attack\">The backdoor is not removed</p>"));
    data.results.clear();
    CHECK(verdict(data) == "");
}

TEST_CASE("report: the contrast of text is at least 4.5 and of graphics at least 3") {
    using Pair = std::pair<const char*, const char*>;
    for (int scheme : {0, 1}) {
        const auto at = [&](const char* name) { return parts_of(colour_named(name, scheme)); };
        for (const auto& [text, ground] : {Pair{"ink", "paper"},
                                           {"ink", "wash"},
                                           {"ink", "defense-wash"},
                                           {"soft", "paper"},
                                           {"soft", "wash"},
                                           {"attack", "paper"},
                                           {"attack", "attack-wash"},
                                           {"defense", "paper"},
                                           {"defense", "defense-wash"},
                                           {"soft", "defense-wash"}}) {
            CAPTURE(scheme);
            CHECK_MESSAGE(contrast(at(text), at(ground)) >= 4.5, text, " on ", ground);
        }
        for (const auto& [mark, ground] : {Pair{"attack", "track"},
                                           {"defense", "track"},
                                           {"faint", "track"},
                                           {"faint", "paper"},
                                           {"attack", "paper"},
                                           {"defense", "paper"},
                                           {"soft", "paper"}}) {
            CAPTURE(scheme);
            CHECK_MESSAGE(contrast(at(mark), at(ground)) >= 3, mark, " on ", ground);
        }
        // The darkest cell of a confusion matrix: 45 % of a colour on the background.
        REQUIRE(contains(style_sheet, "calc(var(--s) * 45%)"));
        for (const char* name : {"attack", "defense"}) {
            std::vector<double> cell;
            for (int i = 0; i < 3; ++i) cell.push_back(.45 * at(name)[i] + .55 * at("paper")[i]);
            CAPTURE(scheme);
            CHECK_MESSAGE(contrast(at("ink"), cell) >= 4.5, name);
        }
    }
}

}  // namespace cnpd::report
