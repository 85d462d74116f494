#include <algorithm>

#include "cnpd/report/picture.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

constexpr std::size_t guesses_shown = 3;

Markup figure(const Image& image, const std::string& caption, const std::string& description) {
    if (!is_valid(image)) return {};
    return markup("<figure>{}<figcaption>{}</figcaption></figure>", picture(image, description),
                  caption);
}

Markup strip(const Example& example, int gain) {
    Markup out = figure(example.clean, "clean", "clean image of class " + example.original_class);
    out += figure(example.poisoned, "with trigger",
                  "the same image with the trigger, backdoor label " + example.backdoor_class);
    const bool comparable = is_valid(example.clean) && is_valid(example.poisoned) &&
                            example.clean.height == example.poisoned.height &&
                            example.clean.width == example.poisoned.width &&
                            example.clean.channels == example.poisoned.channels;
    if (comparable)
        out += figure(difference(example.clean, example.poisoned, gain),
                      gain > 1 ? fmt::format("difference \xC3\x97\xC2\xA0{}", gain) : "difference",
                      fmt::format("trigger: difference times {} around grey", gain));
    return out.empty() ? out : markup("<div class=\"strip\">{}</div>\n", out);
}

// The original label is drawn in the defense's colour, the backdoor's in the attack's.
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
            "<div class=\"guess {}\"><span class=\"name\" title=\"{}\">{}</span><span "
            "class=\"track\"><span class=\"bar {}\" style=\"width:{:.2f}%\"></span></span><span "
            "class=\"number\">{}</span></div>",
            colour, guess.class_name, guess.class_name, colour,
            100 * clamped_rate(guess.probability), percent(guess.probability));
    }
    out.html += "</div>\n";
    return out;
}

Markup badges(const Example& example) {
    if (example.after.empty()) return {};
    const bool fooled = example.after.front().class_name == example.backdoor_class;
    Markup out = example.purified_right
                     ? markup("<span class=\"badge defense\">\xE2\x9C\x93 right again</span>")
                 : fooled ? markup("<span class=\"badge attack\">still fooled</span>")
                          : markup("<span class=\"badge\">freed, but wrong</span>");
    if (example.flagged)
        out += markup(
            " <span class=\"badge\" title=\"victim and purified model disagree\">flagged</span>");
    return out;
}

Markup card(const Example& example, int gain) {
    const Markup images = strip(example, gain);
    Markup said = guesses("Victim", example.before, example);
    said += guesses("Purified model", example.after, example);
    if (images.empty() && said.empty()) return {};
    return markup(
        "<article class=\"example\">\n<h3><span class=\"defense\">{}</span> <span "
        "class=\"arrow\">\xE2\x86\x92</span> <span class=\"attack\">{}</span><span "
        "class=\"badges\">{}</span></h3>\n{}<div class=\"said\">{}</div></article>\n",
        example.original_class, example.backdoor_class, badges(example), images, said);
}

}  // namespace

Markup examples_section(const ReportData& data) {
    const int gain = difference_gain(data.examples);
    Markup cards;
    for (const Example& example : data.examples) cards += card(example, gain);
    if (cards.empty()) return {};
    const bool purified = std::any_of(data.examples.begin(), data.examples.end(),
                                      [](const Example& each) { return !each.after.empty(); });
    const std::string amplified = gain > 1 ? fmt::format("amplified {} times and ", gain) : "";
    Markup seen = markup(
        "A test image, the same image with the trigger, and the difference, {}drawn around grey. "
        "Below, what {} of the image with the trigger: <span class=\"defense\">its true "
        "class</span> "
        "or <span class=\"attack\">the attacker's</span>.",
        amplified, purified ? "the victim and the purified model say" : "the victim says");
    if (purified) seen += markup(" An image on which they disagree is flagged.");
    return section("examples", "What the trigger does", seen,
                   markup("<div class=\"examples\">\n{}</div>\n", cards));
}

}  // namespace cnpd::report
