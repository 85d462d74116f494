#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/runs/runs.h"

namespace cnpd::runs {
namespace {

// Quotes a word for a POSIX shell.
std::string quoted(const std::string& word) {
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789-_./+=:,@%") == word.npos;
    if (plain) return word;
    std::string text;
    text += '\'';
    for (const char c : word) {
        if (c == '\'')
            text += "'\\''";
        else
            text += c;
    }
    text += '\'';
    return text;
}

std::string command(std::string text, const std::vector<std::string>& words) {
    for (const std::string& word : words) text.append(" ").append(quoted(word));
    return text;
}

}  // namespace

std::vector<std::string> commands(const LoadedRun& run) {
    VictimSettings victim = run.victim_settings;
    VictimSettings usual(victim.attack_name, victim.recipe);
    usual.model = victim.model;
    usual.complete();
    usual.model = VictimSettings().model;
    const auto attack_and_recipe = [&] {
        std::vector<std::string> words{"--attack", victim.attack_name};
        if (victim.recipe != VictimSettings().recipe)
            words.insert(words.end(), {"--recipe", victim.recipe});
        return words;
    };
    std::vector<std::string> words = attack_and_recipe();
    for (std::string& word :
         settings::arguments(settings::fields_of(usual), settings::fields_of(victim)))
        words.push_back(std::move(word));
    std::vector<std::string> all{command("cnpd train", words) + " --out runs/victim"};
    if (!run.defense_settings) return all;
    DefenseSettings defense = *run.defense_settings;
    DefenseSettings recommended(defense.method, defense.recipe,
                                {.dataset = victim.data.name,
                                 .classes = run.input.classes(),
                                 .h = run.input.h,
                                 .w = run.input.w});
    words = {"--run", "runs/victim", "--method", defense.method};
    if (defense.recipe != defenses::Recipe::tuned)
        words.insert(words.end(), {"--recipe", settings::name_of(defense.recipe)});
    for (std::string& word :
         settings::arguments(settings::fields_of(recommended), settings::fields_of(defense)))
        words.push_back(std::move(word));
    all.push_back(command("cnpd defend", words));
    return all;
}

}  // namespace cnpd::runs
