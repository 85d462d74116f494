#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/evaluation/scores.h"
#include "cnpd/metrics/json.h"
#include "cnpd/runs/configuration.h"
#include "cnpd/runs/runs.h"
#include "cnpd/runs/victim.h"
#include "cnpd/store/fingerprint.h"
#include "cnpd/store/run_directory.h"
#include "cnpd/terminal/log.h"
#include "cnpd/training/supervised.h"
#include "engine/files.h"
#include "engine/safetensors.h"
#include "kernels/common/error.h"

namespace cnpd::runs {

using nlohmann::ordered_json;
namespace fs = std::filesystem;
namespace run_files = store::run_files;

namespace {

// Throws InputError if writing to `out` would overwrite the victim's run.
void refuse_victims_place(const fs::path& out, const fs::path& victim_run) {
    const fs::path from = fs::weakly_canonical(victim_run), to = fs::weakly_canonical(out);
    for (fs::path above = from;; above = above.parent_path()) {
        if (above == to)
            throw InputError(fmt::format(
                "--out {} is or contains the victim's run; give another directory", out.string()));
        if (above == above.parent_path()) return;
    }
}

// With --polarizers, the clean images are those of the other defense.
void take_over(DefenseSettings& settings, const fs::path& victim_run,
               const std::vector<std::string>& given) {
    const fs::path run = settings.defense->takes_over();
    if (run.empty()) return;
    const DefenseSettings other = defense_settings(
        store::read_config(run, "defense"), store::run_file(run, run_files::config).string());
    if (store::fingerprint_of_weights(run) != store::fingerprint_of_weights(victim_run))
        throw InputError(fmt::format("{} is a defense of a different victim than {}", run.string(),
                                     victim_run.string()));
    const auto differs = [&](const char* option, auto value, auto trained) {
        if (value != trained && std::find(given.begin(), given.end(), option) != given.end())
            throw InputError(fmt::format(
                "--{} {}: {} was made with {}; with --polarizers only --top-k can be changed",
                option, value, run.string(), trained));
    };
    differs("clean-ratio", settings.clean_ratio, other.clean_ratio);
    differs("hold-out", settings.hold_out, other.hold_out);
    differs("seed", settings.seed, other.seed);
    settings.clean_ratio = other.clean_ratio;
    settings.hold_out = other.hold_out;
    settings.seed = other.seed;
}

std::vector<std::int32_t> backdoor_labels(const attacks::Attack& attack, std::int64_t classes) {
    std::vector<std::int32_t> labels(static_cast<std::size_t>(classes));
    for (std::int32_t label = 0; label < classes; ++label)
        labels[label] = attack.backdoor_label(label);
    return labels;
}

// The clean images and their indices.
struct Clean {
    data::CleanSubset drawn;
    datasets::BatchSource training, held_out;
};

Clean draw_clean(const data::PoisonedData& data, const DefenseSettings& settings,
                 engine::Device device) {
    auto drawn = data::draw_clean_subset(data.data.train, data.classes(), settings.clean_ratio,
                                         settings.seed);
    if (!drawn.notice.empty()) log_warning(drawn.notice);
    const data::SplitSubset split =
        data::hold_out(drawn.indices, data.data.train, data.classes(), settings.hold_out);
    return {.drawn = std::move(drawn),
            .training = data::clean_images(data, split.training, device),
            .held_out = data::clean_images(data, split.held_out, device)};
}

// The victim's files that are copied to the defense's directory, read before anything is written.
std::vector<std::pair<std::string, std::string>> files_of_victim(const fs::path& victim_run,
                                                                 const attacks::Attack& attack) {
    std::vector<std::pair<std::string, std::string>> files;
    const auto read = [&](const std::string& name) {
        const auto bytes = engine::read_file(store::run_file(victim_run, name),
                                             engine::SafetensorsFile::kMaxBytes);
        files.emplace_back(name,
                           std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    };
    read(run_files::model);
    for (const attacks::KeptFile& file : attack.kept_files()) read(file.name);
    if (std::string metrics = store::metrics_text(victim_run); !metrics.empty())
        files.emplace_back(run_files::victim_metrics, std::move(metrics));
    return files;
}

}  // namespace

ordered_json defend(const DefendOptions& what, const DefenseSettings& requested,
                    const RunOptions& options) {
    refuse_victims_place(options.out, what.victim_run);
    const ordered_json victim_config = store::read_config(what.victim_run, "victim");
    DefenseSettings settings = requested;
    take_over(settings, what.victim_run, what.given);
    const auto run = load_run(what.victim_run, options.compute);
    const defenses::Victim victim = victim_of(*run, options.compute);
    settings.defense->complete(victim, what.given);
    settings::fields_of(settings).check();

    store::RunDirectory directory(options.out,
                                  {.resume = options.resume, .overwrite = options.overwrite});
    const data::PoisonedData data = run->poisoned_data(what.data_override);
    VictimSettings stored = run->victim_settings;
    if (!what.data_override.empty()) stored.data.directory = store::absolute(what.data_override);
    settings::Fields victim_fields = settings::fields_of(stored);
    settings::Fields fields = settings::fields_of(settings);
    ordered_json all = settings::to_json(victim_fields);
    all.update(settings::to_json(fields));
    const ordered_json config = describe("defense", data, std::move(all), options.compute);

    const engine::Device device = options.compute.device;
    const Clean clean = draw_clean(data, settings, device);
    const evaluation::TestSets tests = data::make_test_sets(data, device);
    evaluation::Observer observer(tests);
    const evaluation::Predictor* watched = nullptr;
    const training::LoopOptions loop{
        .resume = options.resume,
        .observe =
            [&](ordered_json& record) { metrics::add_scores(record, observer.measure(*watched)); },
        .observe_every = settings.evaluate_every,
        .observe_start = settings.evaluate_every > 0,
        .identity = identity_of(config, *data.attack) + " of victim " +
                    store::fingerprint_of_weights(what.victim_run)};
    training::check_checkpoint(directory, loop);

    const auto victim_files = files_of_victim(what.victim_run, *data.attack);
    write_configuration(directory, config, options);
    for (const auto& [name, bytes] : victim_files) directory.write(name, bytes);
    ordered_json images = data::describe_images(
        data.data, {{"poisoned", data.poisoned.indices}, {"clean_subset", clean.drawn.indices}});
    images["overlap"] = data::overlap(clean.drawn.indices, data.poisoned.indices);
    directory.write_json(run_files::indices, images);
    bool asked_attacker = false;
    const defenses::Outcome outcome = settings.defense->run(
        {.victim = victim,
         .clean = clean.training,
         .held_out = clean.held_out.size() > 0 ? &clean.held_out : nullptr,
         .augmentation = training::draws_of(data.data, true, settings.seed),
         .seed = settings.seed,
         .train =
             [&](training::TrainingTask& task, const evaluation::Predictor& model) {
                 watched = &model;
                 return training::run_training(task, directory, loop);
             },
         .ask_attacker =
             [&] {
                 asked_attacker = true;
                 return backdoor_labels(*data.attack, data.classes());
             }});
    outcome.defended->save(store::RunFiles(directory.path()));
    if (const fs::path former = settings.defense->takes_over(); !former.empty())
        if (const std::string metrics = store::metrics_text(former); !metrics.empty())
            directory.write(run_files::metrics, metrics);

    ordered_json result =
        evaluation::to_json(evaluation::measure(tests, *run->victim, *outcome.defended));
    evaluation::add_costs(result, outcome.seconds, outcome.defended->parameters_trained());
    result["n_clean_subset"] = clean.training.size();
    if (!data.attack->plants_backdoor()) result["benign"] = true;
    // The defense used the attack's backdoor labels.
    if (asked_attacker) result["oracle"] = true;
    directory.write_json(run_files::result, result);
    return result;
}

}  // namespace cnpd::runs
