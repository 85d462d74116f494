#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

struct Term {
    const char* name;
    const char* meaning;
};

constexpr Term glossary[] = {
    {"Trigger",
     "the change to an image that makes a backdoored model predict the attacker's class."},
    {"Victim", "the model trained on data some of which was poisoned."},
    {"Target class", "the class the attacker wants triggered images to be predicted as."},
    {"Poison ratio", "share of the training images that carry the trigger."},
    {"Clean ratio", "share of the training images that the defender has, known to be clean."},
    {"ACC", "accuracy on clean test images."},
    {"ASR",
     "attack success rate: share of the poisoned test images predicted as their backdoor label."},
    {"R-ACC",
     "robust accuracy: share of the poisoned test images predicted as their original label."},
    {"DER",
     "defense effectiveness rating, ((ASR lost) \xE2\x88\x92 (ACC lost) + 1) / 2, gains counted "
     "as 0: 50\xC2\xA0% is no effect, 100\xC2\xA0% a perfect defense."},
    {"Insertion point", "the place in the victim where the polarizer's layer is put."},
    {"Neural polarizer",
     "a small trained layer that lets benign features pass and blocks the "
     "trigger's; class-conditional: one for each class."},
    {"Flagged", "the victim and the purified model predict different classes."},
};

}  // namespace

Markup run_section(const ReportData& data) {
    Markup content;
    if (!data.facts.empty()) {
        content += markup("<dl class=\"facts\">\n");
        for (const Fact& fact : data.facts)
            content += markup("<div><dt>{}</dt><dd>{}</dd></div>\n", fact.key,
                              fact.value.empty() ? percent(not_measured) : fact.value);
        content.html += "</dl>\n";
    }
    if (!data.commands.empty()) {
        content += markup("<h3>To get this run again</h3>\n<pre><code>");
        for (const std::string& command : data.commands) content += markup("{}\n", command);
        content.html += "</code></pre>\n";
    }
    return section("run", "The run", markup("Everything that determined the numbers above."),
                   content);
}

Markup glossary_section() {
    Markup list;
    for (const Term& term : glossary)
        list += markup("<div><dt>{}</dt><dd>{}</dd></div>\n", term.name, term.meaning);
    return markup(
        "<section id=\"glossary\">\n<h2>Terms</h2>\n<dl class=\"glossary\">\n{}</dl>\n</section>\n",
        list);
}

}  // namespace cnpd::report
