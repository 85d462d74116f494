#include "cnpd/report/compare.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "cnpd/report/markup.h"
#include "cnpd/store/fingerprint.h"
#include "cnpd/store/run_directory.h"

namespace cnpd::report {

using nlohmann::ordered_json;
namespace fs = std::filesystem;
namespace run_files = store::run_files;

namespace {

constexpr std::size_t most_differences = 3;  // in a name
constexpr int longest_value = 24;            // characters

bool have_same_victim(const RunJson& one, const RunJson& other) {
    return store::fingerprint_of_weights(one.path) == store::fingerprint_of_weights(other.path);
}

// Settings by name, without nested objects, the data directory and the interval of measurements.
std::map<std::string, std::string> settings_of(const RunJson& run) {
    std::map<std::string, std::string> all;
    const std::string own = training_section_of(run.config);
    for (const std::string& section :
         {std::string("dataset"), std::string("model"), std::string("attack"),
          std::string("training"), std::string("defense"), own}) {
        const ordered_json* found = entry(run.config, {section.c_str()});
        if (!found || !found->is_object()) continue;
        for (const auto& [key, value] : found->items()) {
            if (value.is_structured() || key == "data" || key == "evaluate_every" ||
                key == "eval_every")
                continue;
            std::string name = key == "name" ? section : key;
            std::replace(name.begin(), name.end(), '_', ' ');
            const bool victims = section != "defense" && section != own;
            all[(victims && run.is_defense() ? "victim's " : "") + name] = shortened(
                value.is_string() ? value.get<std::string>() : value.dump(), longest_value);
        }
    }
    return all;
}

std::string directory_name(const fs::path& run) {
    const fs::path whole = fs::absolute(run).lexically_normal();
    return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

// The directory and its parent: "badnets-1/r-cnpd".
std::string end_of(const fs::path& run) {
    const std::string parent = directory_name((fs::absolute(run) / "..").lexically_normal());
    return parent.empty() ? directory_name(run) : parent + "/" + directory_name(run);
}

// "epochs 20, seed 1": the settings in which a run differs from others.
std::string differences(const std::map<std::string, std::string>& settings,
                        const std::set<std::string>& differing) {
    std::string text;
    for (const std::string& name : differing) {
        const auto found = settings.find(name);
        const std::string value = found == settings.end() ? "-" : found->second;
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, value.empty() ? "-" : value);
    }
    return text;
}

// Distinguishes the runs at these positions, which have the same name.
void tell_apart(std::vector<std::string>& names, const std::vector<RunJson>& runs,
                const std::vector<std::size_t>& places) {
    std::vector<std::map<std::string, std::string>> settings;
    std::set<std::string> differing;
    for (const std::size_t place : places) settings.push_back(settings_of(runs[place]));
    for (const auto& one : settings)
        for (const auto& [name, value] : one)
            for (const auto& other : settings) {
                const auto found = other.find(name);
                if (found == other.end() || found->second != value) differing.insert(name);
            }
    const bool few = !differing.empty() && differing.size() <= most_differences;
    std::map<std::string, int> used;
    std::vector<std::string> notes;
    for (std::size_t i = 0; i < places.size(); ++i) {
        notes.push_back(few ? differences(settings[i], differing)
                            : directory_name(runs[places[i]].path));
        ++used[notes.back()];
    }
    for (std::size_t i = 0; i < places.size(); ++i) {
        const fs::path path = runs[places[i]].path.lexically_normal();
        if (used[notes[i]] > 1) notes[i] = few ? directory_name(path) : path.string();
        names[places[i]] += fmt::format(" ({})", notes[i]);
    }
}

struct Group {
    RunJson first;  // determines the group's victim
    std::vector<std::size_t> defenses;
};

}  // namespace

std::vector<std::string> distinct_names(const std::vector<std::string>& names,
                                        const std::vector<RunJson>& runs) {
    std::map<std::string, std::vector<std::size_t>> places;
    for (std::size_t i = 0; i < names.size(); ++i) places[names[i]].push_back(i);
    std::vector<std::string> result = names;
    for (const auto& [name, same] : places)
        if (same.size() > 1) tell_apart(result, runs, same);
    return result;
}

std::vector<ResultRow> compared(const RunJson& run, const ResultRow& victim,
                                const std::vector<fs::path>& others) {
    std::vector<RunJson> runs;  // the run itself is last
    for (const fs::path& other : others) {
        const bool known =
            fs::weakly_canonical(other) == fs::weakly_canonical(run.path) ||
            std::any_of(runs.begin(), runs.end(), [&](const RunJson& each) {
                return fs::weakly_canonical(each.path) == fs::weakly_canonical(other);
            });
        if (!known) runs.push_back(read_run_json(other, "defense"));
    }
    runs.push_back(run);
    std::vector<Group> groups{{.first = run, .defenses = {}}};
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const auto same = std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
            return have_same_victim(group.first, runs[i]);
        });
        if (same == groups.end())
            groups.push_back({.first = runs[i], .defenses = {i}});
        else
            same->defenses.push_back(i);
    }

    std::vector<ResultRow> rows;
    for (const Group& group : groups) {
        rows.push_back(victim);
        if (&group != &groups.front())
            rows.back() =
                victim_row_of("victim of " + end_of(group.first.path), group.first.result);
        std::vector<RunJson> defenses;
        std::vector<std::string> names;
        for (const std::size_t i : group.defenses) {
            defenses.push_back(runs[i]);
            names.push_back(method_of(runs[i].config));
        }
        names = distinct_names(names, defenses);
        for (std::size_t k = 0; k < names.size(); ++k) {
            rows.push_back(row_of(names[k], defenses[k].result));
            rows.back().highlight = group.defenses[k] + 1 == runs.size();
        }
    }
    return rows;
}

}  // namespace cnpd::report
