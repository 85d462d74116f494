#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/defenses/registry.h"
#include "cnpd/runs/configuration.h"
#include "cnpd/runs/runs.h"
#include "cnpd/training/pattern_file.h"
#include "cnpd/training/run_directory.h"
#include "engine/checkpoint.h"
#include "kernels/common/error.h"

namespace cnpd::runs {

using nlohmann::ordered_json;
using training::run_file;
namespace fs = std::filesystem;
namespace run_files = training::run_files;

training::DefendedData defended_data(const fs::path& victim_run) {
    const auto [victim, input] = read_run(victim_run, training::read_config(victim_run, "victim"));
    return {.dataset = victim.data.name,
            .classes = static_cast<std::int64_t>(input.class_names.size()),
            .h = input.h,
            .w = input.w};
}

training::DefenseSettings taking_over(const fs::path& r_cnpd_run) {
    training::DefenseSettings settings =
        read_defense(r_cnpd_run, training::read_config(r_cnpd_run, "defense"));
    if (settings.method != "r-cnpd")
        throw FileError(run_file(r_cnpd_run, run_files::config).string(),
                        fmt::format("is a run of {}", settings.method), "r-cnpd's");
    settings.method = "ensemble";
    settings.polarizers = r_cnpd_run.string();
    return settings;
}

ordered_json defend(const fs::path& victim_run, const std::string& data_override,
                    const training::DefenseSettings& requested, const RunOptions& options) {
    training::validate(requested);
    defenses::info_of(requested.method);
    auto [victim_settings, input] =
        read_run(victim_run, training::read_config(victim_run, "victim"));
    if (!data_override.empty()) victim_settings.data.directory = data_override;

    training::RunDirectory directory(options.out,
                                     {.resume = options.resume, .overwrite = options.overwrite});
    const training::Experiment experiment = training::prepare_experiment(victim_settings, input);
    const auto victim = training::make_victim(victim_settings, input, options.compute);
    engine::load_module(run_file(victim_run, run_files::model), *victim);
    // In training mode the defense's first look would change the victim's running statistics.
    victim->eval();
    training::DefenseSettings settings = requested;
    if (!settings.polarizers.empty() && fingerprint(settings.polarizers) != fingerprint(victim_run))
        throw InputError(fmt::format("polarizers: {} is a defense of another victim than {}",
                                     settings.polarizers, victim_run.string()));
    const engine::Device device = options.compute.device;
    const auto defense = defenses::make_defense(settings, *victim, input, device);

    ordered_json all =
        training::to_json(training::with_stored_pattern(victim_settings, experiment));
    all.update(training::to_json(settings));
    const ordered_json config = describe("defense", input, std::move(all), options.compute);
    const auto subset = training::draw_clean_subset(experiment.data.train, experiment.classes(),
                                                    settings.clean_ratio, settings.seed);
    const training::SplitSubset split =
        training::hold_out(subset, experiment.data.train, experiment.classes(), settings.hold_out);
    const auto clean = training::clean_subset(experiment, split.training, device);
    const auto held_out = training::clean_subset(experiment, split.held_out, device);
    const training::TestSets tests = training::make_test_sets(experiment, device);
    const training::LoopOptions loop{
        .resume = options.resume,
        .identity = identity_of(config, experiment) + " of victim " + fingerprint(victim_run)};
    training::check_checkpoint(directory, loop);
    const std::string victim_metrics = training::metrics_text(victim_run);

    training::store_pattern(experiment, directory);
    directory.write_json(run_files::config, config);
    directory.write_json(run_files::indices,
                         {{"poisoned", experiment.poisoned.indices},
                          {"clean_subset", subset},
                          {"overlap", training::overlap(subset, experiment.poisoned.indices)}});
    if (!victim_metrics.empty()) directory.write(run_files::victim_metrics, victim_metrics);
    ordered_json result =
        defense->run({.settings = settings,
                      .directory = directory,
                      .victim = *victim,
                      .clean = clean,
                      .held_out = held_out.size() > 0 ? &held_out : nullptr,
                      .tests = tests,
                      .attack = *experiment.attack,
                      .draws = training::draws_of(experiment.data, settings.augment, settings.seed),
                      .loop = loop});
    result["n_clean_subset"] = clean.size();
    directory.write_json(run_files::result, result);
    return result;
}

}  // namespace cnpd::runs
