// Everything derived from the declaration of a setting: its option, its entry in config.json, the
// command that repeats a run.
#include "cnpd/runs/settings.h"

#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "cnpd/settings/suggest.h"
#include "kernels/common/error.h"
#include "tests/support/files.h"

using namespace cnpd;
using nlohmann::ordered_json;
using runs::Given;
using settings::Field;
using settings::Fields;

namespace {

struct Toy {
    std::int64_t count = 3;
    double share = 0.5;
    float weight = 0.1f;
    bool on = true;
    std::string text;
    attacks::LabelMode mode = attacks::LabelMode::all_to_one;

    void fields(Fields& f) {
        f.section("toy", "Toy");
        f.add("count", count, "A count").range(0, 10).otherwise("none").formerly("number");
        f.add("share", share, "A share").above(0, 1);
        f.add("weight", weight, "A weight").since("0.2.0");
        f.add("on", on, "A switch").off("off-it-goes");
        f.add("text", text, "A text");
        f.add("label_mode", mode, "A choice").formerly("other/mode");
    }
};

// Another valid value of a field.
std::string changed(const Field& field) {
    const std::string now = field.text();
    if (field.is_switch()) return now == "true" ? "false" : "true";
    for (const std::string& name : field.known_values())
        if (name != now && name != "eval") return name;  // eval is another name of frozen
    if (field.is_text()) return field.name() == "target" ? "1" : "some 'text' with spaces";
    return now == "1"                  ? "2"
           : now == "0" || now == "-1" ? (field.name() == "hold_out" ? "0.25" : "1")
           : now.find('.') == now.npos ? "5"
                                       : "0.75";
}

// The words of a command as options: {"--count", "5", "--no-x"}.
Given parsed(const std::vector<std::string>& words, const Fields& fields) {
    Given given;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string name = words[i].substr(2);
        bool off = false;
        for (const Field& field : fields.all())
            if (field.is_switch() && (field.off_name() == name || field.option() == words[i])) {
                given.emplace_back(field.option().substr(2),
                                   field.off_name() == name ? "false" : "true");
                off = true;
            }
        if (!off) given.emplace_back(name, words.at(++i));
    }
    return given;
}

}  // namespace

TEST_CASE("a setting is an option, a value of config.json and a line of help") {
    Toy toy;
    Fields fields = settings::fields_of(toy);
    CHECK(fields.names() ==
          std::vector<std::string>{"count", "share", "weight", "on", "text", "label-mode"});
    fields.find("count")->set("7", "--count");
    fields.find("label_mode")->set("all-to-all", "--label-mode");
    CHECK(toy.count == 7);
    CHECK(toy.mode == attacks::LabelMode::all_to_all);
    CHECK(
        settings::to_json(fields).dump() ==
        R"({"toy":{"count":7,"share":0.5,"weight":0.1,"on":true,"text":"","label_mode":"all-to-all"}})");
    CHECK(fields.find("on")->default_text() == "yes");
    toy.count = 0;
    CHECK(fields.find("count")->default_text() == "none");
}

TEST_CASE("values out of range, of another type or unknown are refused with their option's name") {
    Toy toy;
    Fields fields = settings::fields_of(toy);
    const auto said = [&](const char* name, const char* text) {
        return tests::message_of(
            [&] { fields.find(name)->set(text, fields.find(name)->option()); });
    };
    CHECK(said("count", "11") == "--count 11 is out of range: 0 to 10");
    CHECK(said("count", "1.5").find("is not an integer") != std::string::npos);
    CHECK(said("count", "99999999999999999999").find("out of range") != std::string::npos);
    CHECK(said("share", "0") == "--share 0 is out of range: above 0, at most 1");
    CHECK(said("share", "nan") != "");
    CHECK(said("share", "x").find("is not a number") != std::string::npos);
    CHECK(said("on", "maybe").find("not true or false") != std::string::npos);
    CHECK(said("label-mode", "all-to-al").find("did you mean 'all-to-all'?") != std::string::npos);
}

TEST_CASE("config.json is read under former names, and newer settings may be missing") {
    Toy toy;
    Fields fields = settings::fields_of(toy);
    const auto old = ordered_json::parse(
        R"({"toy":{"number":2,"share":1.0,"on":false,"text":"x"},"other":{"mode":"all-to-all"}})");
    settings::from_json(fields, old, "config.json", "0.1.0");
    CHECK(toy.count == 2);
    CHECK(toy.weight == 0.1f);
    CHECK(toy.mode == attacks::LabelMode::all_to_all);
    CHECK(tests::message_of([&] {
              settings::from_json(fields, old, "config.json", "0.2.0");
          }).find("\"weight\" is missing") != std::string::npos);
    CHECK(settings::older("0.9.1", "0.10"));
    CHECK_FALSE(settings::older("0.10", "0.9.1"));
}

TEST_CASE("the command that repeats a run gives the same configuration, for every setting") {
    for (const std::string& attack : attacks::registry().names()) {
        CAPTURE(attack);
        runs::VictimSettings usual(attack), other(attack);
        const Fields before = settings::fields_of(usual);
        Fields after = settings::fields_of(other);
        for (Field& field : after.all())
            if (field.name() != "attack" && field.name() != "recipe" && field.name() != "head")
                field.set(changed(field), field.option());
        Given given = parsed(settings::arguments(before, after), after);
        CHECK(given.size() == after.all().size() - 3);
        given.emplace_back("attack", attack);
        runs::VictimSettings again = runs::victim_settings(given);
        CHECK(settings::to_json(settings::fields_of(again)) == settings::to_json(after));
    }
    const defenses::DefendedData data{.dataset = "cifar10", .classes = 10, .h = 32, .w = 32};
    for (const std::string& method : defenses::registry().names()) {
        CAPTURE(method);
        runs::DefenseSettings usual(method, defenses::Recipe::tuned, data);
        runs::DefenseSettings other(method, defenses::Recipe::tuned, data);
        const Fields before = settings::fields_of(usual);
        Fields after = settings::fields_of(other);
        for (Field& field : after.all())
            if (field.name() != "method" && field.name() != "recipe")
                field.set(changed(field), field.option());
        Given given = parsed(settings::arguments(before, after), after);
        CHECK(given.size() == after.all().size() - 2);
        given.emplace_back("method", method);
        runs::DefenseSettings again = runs::defense_settings(given, data);
        CHECK(settings::to_json(settings::fields_of(again)) == settings::to_json(after));
        // The same through config.json.
        const ordered_json json = settings::to_json(after);
        runs::DefenseSettings read = runs::defense_settings(json, "config.json");
        CHECK(settings::to_json(settings::fields_of(read)) == json);
    }
}

TEST_CASE(
    "an option of another attack or defense is refused with the names of those that have it") {
    CHECK(tests::message_of([] {
              runs::victim_settings({{"blend-alpha", "0.5"}});
          }) == "--blend-alpha belongs to --attack blended, not to badnets");
    CHECK(tests::message_of([] {
              runs::defense_settings({{"method", "a-cnpd"}, {"structure", "bn"}},
                                     {.dataset = "", .classes = 10});
          }) == "--structure belongs to --method r-cnpd, ensemble, npd, not to a-cnpd");
}

TEST_CASE("the nearest known name is suggested, if it is similar") {
    const std::vector<std::string> known{"badnets", "blended", "sig"};
    CHECK(settings::nearest("badnet", known) == "badnets");
    CHECK(settings::nearest("blendde", known) == "blended");
    CHECK(settings::nearest("gis", known) == "");
    CHECK(settings::nearest("wanet", known) == "");
    CHECK(settings::nearest("", known) == "");
    CHECK(settings::nearest(std::string(100'000, 'x'), known) == "");
}
