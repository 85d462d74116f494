#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

struct Term {
    const char* name;
    const char* meaning;
};

constexpr Term glossary[] = {
    {"Trigger", "a change to an image that makes a backdoored model predict the attacker's class."},
    {"Victim", "the model before a defense, trained on data that may have been poisoned."},
    {"Benign", "trained without a poisoned image."},
    {"Target class", "the class that the attacker wants for images with the trigger."},
    {"Backdoor label",
     "the class that the attacker wants for an image with the trigger: the target class, or in an "
     "all-to-all attack the class after the image's own."},
    {"Poison ratio", "share of the training images that carry the trigger."},
    {"Clean ratio", "share of the training images that the defender has as clean images."},
    {"ACC", "accuracy: share of the clean test images predicted as their class."},
    {"ASR",
     "attack success rate: share of the test images with the trigger predicted as their backdoor "
     "label."},
    {"Without trigger",
     "share of the same images predicted as the same label without the trigger: misclassifications "
     "that the trigger does not cause."},
    {"R-ACC",
     "robust accuracy: share of the test images with the trigger predicted as their original "
     "class."},
    {"DER",
     "defense effectiveness rating, ((ASR lost) \xE2\x88\x92 (ACC lost) + 1) / 2, gains counted as "
     "0: 50\xC2\xA0% without any effect, 100\xC2\xA0% if ASR falls from 100\xC2\xA0% to 0 and ACC "
     "does not fall."},
    {"Insertion point", "the layer of the victim before which the polarizer is inserted."},
    {"Neural polarizer",
     "a small trained layer that passes benign features and removes those of the trigger; "
     "class-conditional: one for each class."},
    {"Flagged",
     "the victim and the defended model predict different classes for the image. On a clean image "
     "this is a false alarm."},
    {"ROC",
     "true positive rate against false positive rate for all thresholds on the drop in the "
     "probability of the victim's class. Area under it (AUROC): 1 is perfect separation, 0.5 is "
     "chance."},
};

Markup facts(const std::vector<Fact>& facts) {
    if (facts.empty()) return {};
    Markup out = markup("<dl class=\"facts\">\n");
    for (const Fact& fact : facts)
        out += markup("<div><dt>{}</dt><dd>{}</dd></div>\n", fact.key,
                      fact.value.empty() ? percent(not_measured) : fact.value);
    out.html += "</dl>\n";
    return out;
}

}  // namespace

Markup run_section(const ReportData& data) {
    Markup content = facts(data.facts);
    const Markup environment = facts(data.environment);
    if (!environment.empty()) content += markup("<h3>Environment</h3>\n{}", environment);
    if (!data.commands.empty()) {
        content += markup(
            "<h3>Commands to repeat this run</h3>\n"
            "<pre tabindex=\"0\"><code>");
        for (const std::string& command : data.commands) content += markup("{}\n", command);
        content.html += "</code></pre>\n";
    }
    return section("run", "The run", markup("Settings, machine and versions."), content);
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
