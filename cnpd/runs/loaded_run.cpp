#include <tuple>

#include <nlohmann/json.hpp>

#include "cnpd/defenses/polarizing.h"
#include "cnpd/defenses/registry.h"
#include "cnpd/runs/configuration.h"
#include "cnpd/runs/runs.h"
#include "cnpd/training/run_directory.h"
#include "cnpd/training/scores.h"
#include "engine/autograd.h"
#include "engine/checkpoint.h"

namespace cnpd::runs {

using engine::Tensor;
using nlohmann::ordered_json;
using training::run_file;
namespace fs = std::filesystem;
namespace run_files = training::run_files;

Tensor LoadedRun::predict(const Tensor& images) const {
    const engine::NoGrad no_grad;
    return purified ? purified->predict(images).purified : model->forward(images);
}

std::unique_ptr<LoadedRun> load_run(const fs::path& path, const training::Compute& compute) {
    const ordered_json config = training::read_config(path);
    auto run = std::make_unique<LoadedRun>();
    std::tie(run->victim_settings, run->input) = read_run(path, config);
    if (config["kind"] == "defense") run->defense_settings = read_defense(path, config);
    run->model = training::make_victim(run->victim_settings, run->input, compute);
    engine::load_module(run_file(path, run_files::model), *run->model);
    run->model->freeze();
    if (!run->defense_settings) return run;

    const training::DefenseSettings& defense = *run->defense_settings;
    if (defenses::info_of(defense.method).polarizer.empty()) return run;
    run->polarizer = defenses::make_polarizer(defense, *run->model, run->input, compute.device);
    engine::load_module(run_file(path, run_files::polarizer), *run->polarizer);
    run->polarizer->refresh();
    run->purified.emplace(*run->model, *run->polarizer, defenses::purified_options(defense));
    return run;
}

ordered_json evaluate(const fs::path& path, const std::string& data_override,
                      const training::Compute& compute) {
    const auto run = load_run(path, compute);
    if (!data_override.empty()) run->victim_settings.data.directory = data_override;
    const training::Experiment experiment =
        training::prepare_experiment(run->victim_settings, run->input);
    const training::TestSets tests = training::make_test_sets(experiment, compute.device);
    if (run->purified) return training::to_json(training::measure(tests, *run->purified));
    return training::to_json(training::measure(tests, *run->model));
}

}  // namespace cnpd::runs
