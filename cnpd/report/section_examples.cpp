#include <algorithm>
#include <optional>

#include "cnpd/report/picture.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

constexpr std::size_t guesses_shown = 3;

// `ring` is an overlay.
Markup figure(const Image& image, const std::string& caption, const std::string& description,
              const Markup& ring = {}) {
    if (!is_valid(image)) return {};
    return markup("<figure><span class=\"framed\">{}{}</span><figcaption>{}</figcaption></figure>",
                  picture(image, description), ring, caption);
}

// A ring around a small trigger, half a pixel away from it; empty if the trigger covers the image.
Markup ring(const Example& example) {
    const std::optional<Box> box = changed_box(example.clean, example.poisoned);
    if (!box) return {};
    const double area = static_cast<double>(box->height) * box->width;
    if (4 * area > static_cast<double>(example.clean.height) * example.clean.width) return {};
    const auto share = [](double pixels, int side) { return 100 * pixels / side; };
    return markup(
        "<span class=\"ring\" style=\"left:{:.2f}%;top:{:.2f}%;width:{:.2f}%;height:{:.2f}%\">"
        "</span>",
        share(box->left - 0.5, example.clean.width), share(box->top - 0.5, example.clean.height),
        share(box->width + 1, example.clean.width), share(box->height + 1, example.clean.height));
}

Markup strip(const Example& example, int gain) {
    Markup out = figure(example.clean, "clean", "clean image of class " + example.original_class);
    out += figure(example.poisoned, "with trigger",
                  "the same image with the trigger, backdoor label " + example.backdoor_class,
                  ring(example));
    if (are_comparable(example.clean, example.poisoned))
        out += figure(difference(example.clean, example.poisoned, gain),
                      gain > 1 ? fmt::format("difference \xC3\x97\xC2\xA0{}", gain) : "difference",
                      fmt::format("trigger: difference times {} around grey", gain));
    return out.empty() ? out : markup("<div class=\"strip\">{}</div>\n", out);
}

// The original label has the defense's colour, the backdoor label the attack's.
const char* colour_of(const std::string& class_name, const Example& example) {
    if (class_name == example.original_class) return "defense";
    if (class_name == example.backdoor_class) return "attack";
    return "faint";
}

Markup guesses(const char* who, const std::vector<Guess>& guesses, const Example& example) {
    if (guesses.empty()) return {};
    Markup out = markup("<div class=\"guesses\"><h4>{}</h4>", who);
    for (std::size_t i = 0; i < std::min(guesses.size(), guesses_shown); ++i) {
        const Guess& guess = guesses[i];
        const char* colour = colour_of(guess.class_name, example);
        out += markup(
            "<div class=\"guess {}\"><span class=\"name\" tabindex=\"0\">{}</span><span "
            "class=\"track\"><span class=\"bar {}\" style=\"width:{:.2f}%\"></span></span><span "
            "class=\"number\">{}</span></div>",
            colour, guess.class_name, colour, 100 * clamped_rate(guess.probability),
            percent(guess.probability));
    }
    out.html += "</div>\n";
    return out;
}

Markup badges(const Example& example) {
    Markup out;
    const auto add = [&](const char* kind, const char* text) {
        out += markup("{}<span class=\"badge {}\">{}</span>", out.empty() ? "" : " ", kind, text);
    };
    const bool poisoned = is_valid(example.poisoned);
    if (!example.after.empty()) {
        const bool fooled = example.after.front().class_name == example.backdoor_class;
        if (example.defended_right)
            add("defense", "\xE2\x9C\x93 correct");
        else if (poisoned && fooled)
            add("attack", "still the attacker's class");
        else
            add("", poisoned ? "another wrong class" : "wrong");
    }
    if (example.flagged) add(poisoned ? "" : "attack", poisoned ? "flagged" : "false alarm");
    return out;
}

Markup heading(const Example& example) {
    Markup classes = markup("<span class=\"defense\">{}</span>", example.original_class);
    if (!example.backdoor_class.empty())
        classes +=
            markup(" <span class=\"arrow\">\xE2\x86\x92</span> <span class=\"attack\">{}</span>",
                   example.backdoor_class);
    return markup("<h3>{}<span class=\"badges\">{}</span></h3>\n", classes, badges(example));
}

Markup card(const Example& example, int gain) {
    const Markup images = strip(example, gain);
    Markup said = guesses("Victim", example.before, example);
    said += guesses("Defended model", example.after, example);
    if (images.empty() && said.empty()) return {};
    return markup("<article class=\"example\">\n{}{}<div class=\"said\">{}</div></article>\n",
                  heading(example), images, said);
}

// "The victim's and the defended model's most likely classes".
std::string whose(const std::vector<Example>& examples) {
    const auto some = [&](std::vector<Guess> Example::*guesses) {
        return std::any_of(examples.begin(), examples.end(),
                           [&](const Example& each) { return !(each.*guesses).empty(); });
    };
    const bool before = some(&Example::before), after = some(&Example::after);
    if (before && after) return "the victim's and the defended model's";
    return after ? "the defended model's" : "the victim's";
}

}  // namespace

Markup examples_section(const ReportData& data) {
    const int gain = difference_gain(data.examples);
    Markup cards;
    for (const Example& example : data.examples) cards += card(example, gain);
    if (cards.empty()) return {};
    const auto some = [&](const auto& predicate) {
        return std::any_of(data.examples.begin(), data.examples.end(), predicate);
    };
    const bool triggered = some([](const Example& each) { return is_valid(each.poisoned); });
    const bool ringed = some([](const Example& each) { return !ring(each).empty(); });
    const std::string amplified = gain > 1 ? fmt::format(", amplified {} times", gain) : "";
    Markup seen =
        triggered
            ? markup(
                  "A test image, the same image with the trigger{}, and their difference around "
                  "grey{}. Below, {} most likely classes for the image with the trigger, with "
                  "their probabilities: <span class=\"defense\">its true class</span>, <span "
                  "class=\"attack\">the attacker's class</span>, or another.",
                  ringed ? " (ringed)" : "", amplified, whose(data.examples))
            : markup("Clean test images, and {} most likely classes with their probabilities.",
                     whose(data.examples));
    if (some([](const Example& each) { return each.flagged; }))
        seen += markup(" An image is flagged if the two models predict different classes.");
    return section("examples", triggered ? "Images with the trigger" : "Clean images", seen,
                   markup("<div class=\"examples\">\n{}</div>\n", cards));
}

}  // namespace cnpd::report
