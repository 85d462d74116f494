#include "cnpd/report/collect.h"

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/report/compare.h"
#include "cnpd/report/markup.h"
#include "cnpd/report/pictures.h"
#include "cnpd/report/run_json.h"
#include "cnpd/runs/runs.h"
#include "cnpd/store/run_directory.h"

namespace cnpd::report {

using nlohmann::ordered_json;
using runs::LoadedRun;
namespace fs = std::filesystem;
namespace run_files = store::run_files;

namespace {

std::string ratio(double share) {
    return fmt::format("{:g}\xC2\xA0%", 100 * share);
}

// "200 of 2,000 (10 %)", with the requested ratio if it differs.
std::string poisoned_text(const Poisoning& p, double asked) {
    std::string text = fmt::format("{} of {}", count(p.poisoned), count(p.images));
    if (!is_drawable(asked) || p.images == 0) return text;
    if (std::llround(asked * static_cast<double>(p.images)) == p.poisoned)
        return fmt::format("{} ({})", text, ratio(asked));
    text += fmt::format(" ({} requested", ratio(asked));
    if (p.clean_label) text += fmt::format(", class {} has {}", p.target, count(p.candidates));
    return text + ")";
}

void add_attack_facts(std::vector<Fact>& facts, const ordered_json& config,
                      const Poisoning& poisoning, const ReportData& data) {
    if (data.benign) {
        facts.push_back({"Attack", "none: no training image was poisoned"});
        return;
    }
    facts.push_back({"Attack", text_of(config, {"attack/attack", "attack/name"})});
    facts.push_back({"Poisoned training images",
                     poisoned_text(poisoning, number_of(config, {"attack/poison_ratio"}))});
    facts.push_back(
        {"Target class", data.target && *data.target < data.classes.size()
                             ? fmt::format("{} ({})", *data.target, data.classes[*data.target])
                             : "all-to-all (class y becomes y + 1)"});
}

std::vector<Fact> facts_of(const RunJson& run, const Poisoning& poisoning, const ReportData& data) {
    const ordered_json& config = run.config;
    const std::string head = text_of(config, {"model/head"}, "");
    std::vector<Fact> facts{
        {"Data set", text_of(config, {"dataset/dataset", "dataset/name"})},
        {"Model", fmt::format("{}, width {}{}", text_of(config, {"model/model", "model/name"}),
                              text_of(config, {"model/width"}),
                              head.empty() ? "" : fmt::format(", {} head", head))}};
    add_attack_facts(facts, config, poisoning, data);
    facts.push_back(
        {"Victim's training",
         fmt::format("{}, {} epochs, seed {}", text_of(config, {"training/recipe"}),
                     text_of(config, {"training/epochs"}), text_of(config, {"training/seed"}))});
    if (!run.is_defense()) return facts;
    facts.push_back({"Defense", method_of(config)});
    facts.push_back(
        {"Clean training images",
         fmt::format("{} of {} ({} requested)", count(count_of(run.result, {"n_clean_subset"})),
                     count(poisoning.images), ratio(number_of(config, {"defense/clean_ratio"})))});
    const std::string section = training_section_of(config);
    const auto setting = [&](const char* key) {
        return text_of(config,
                       {(section + "/" + key).c_str(), (std::string("defense/") + key).c_str()});
    };
    if (const std::string point = setting("insertion_point"); !point.empty() && point != "-")
        facts.push_back({"Insertion point", point});
    const std::string warmup = setting("warmup_epochs");
    facts.push_back({"Defense's training",
                     fmt::format("{}{} epochs, seed {}", warmup == "-" ? "" : warmup + " + ",
                                 setting("epochs"), text_of(config, {"defense/seed"}))});
    return facts;
}

// Without poisoned training images, ASR and R-ACC are meaningless.
void forget_attack(ReportData& data) {
    for (std::size_t i = 0; i < data.results.size(); ++i) {
        ResultRow& row = data.results[i];
        if (i > 0 && row.is_victim) break;  // another victim and its defenses
        row.asr = row.r_acc = row.asr_untriggered = not_measured;
        row.der.reset();
    }
    for (auto* training : {&data.victim_training, &data.defense_training})
        std::erase_if(*training, [](const Series& series) {
            return series.quantity == Quantity::asr || series.quantity == Quantity::r_acc;
        });
    data.n_poisoned = 0;
    if (!data.detection) return;
    data.detection = Detection{.false_positive_rate = data.detection->false_positive_rate};
}

void add_titles(ReportData& data, const RunJson& run) {
    const std::string dataset = text_of(run.config, {"dataset/dataset", "dataset/name"});
    const std::string attack = text_of(run.config, {"attack/attack", "attack/name"});
    data.title = fmt::format("{} on {}", data.benign ? "Benign model" : attack, dataset);
    data.subtitle = run.is_defense() ? "defended with " + method_of(run.config)
                    : data.benign    ? "trained without an attack"
                                     : "undefended victim";
}

}  // namespace

ReportData collect(const fs::path& run_path, const CollectOptions& options,
                   const training::Compute& compute) {
    const auto run = runs::load_run(run_path, compute);
    const RunJson json = read_run_json(run_path);
    const auto file = [&](const char* name) { return store::run_file(run_path, name); };

    ReportData data;
    if (json.is_defense()) {
        const ResultRow victim = victim_row_of("victim", json.result);
        data.results = compared(json, victim, options.compare);
        data.victim_training = curves(file(run_files::victim_metrics), nullptr);
        data.defense_training = curves(file(run_files::metrics), &victim);
    } else {
        data.results = {row_of("victim", json.result)};
        data.results.front().is_victim = true;
        data.victim_training = curves(file(run_files::metrics), nullptr);
    }
    data.n_clean = count_of(json.result, {"n_clean"});
    data.n_poisoned = count_of(json.result, {"n_poisoned"});
    data.detection = detection_of(json.result);
    const Poisoning poisoning = add_pictures(data, *run, options, compute.device);
    if (data.benign) forget_attack(data);
    add_titles(data, json);
    data.facts = facts_of(json, poisoning, data);
    data.environment = environment_of(json.config);
    data.commands = runs::commands(*run);
    return data;
}

}  // namespace cnpd::report
