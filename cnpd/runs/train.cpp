#include <nlohmann/json.hpp>

#include "cnpd/runs/configuration.h"
#include "cnpd/runs/runs.h"
#include "cnpd/training/pattern_file.h"
#include "cnpd/training/run_directory.h"
#include "cnpd/training/scores.h"
#include "engine/checkpoint.h"

namespace cnpd::runs {

using nlohmann::ordered_json;
namespace run_files = training::run_files;

ordered_json train(const training::VictimSettings& settings, const RunOptions& options) {
    training::validate(settings);
    training::RunDirectory directory(options.out,
                                     {.resume = options.resume, .overwrite = options.overwrite});
    const training::Experiment experiment = training::prepare_experiment(settings);
    const training::InputInfo input = training::input_info(experiment.data);
    const ordered_json config = describe(
        "victim", input, training::to_json(training::with_stored_pattern(settings, experiment)),
        options.compute);
    const training::LoopOptions loop{.resume = options.resume,
                                     .identity = identity_of(config, experiment)};
    training::check_checkpoint(directory, loop);
    const auto model = training::make_victim(settings, input, options.compute);
    const auto images = training::poisoned_training_set(experiment, options.compute.device);
    const training::TestSets tests = training::make_test_sets(experiment, options.compute.device);

    training::store_pattern(experiment, directory);
    directory.write_json(run_files::config, config);
    directory.write_json(run_files::indices, {{"poisoned", experiment.poisoned.indices}});
    training::SupervisedTask task(
        *model, images, &tests,
        {.recipe = settings.recipe,
         .draws = training::draws_of(experiment.data, settings.augment, settings.seed),
         .evaluate_every = settings.evaluate_every});
    const double seconds = training::run_training(task, directory, loop);
    engine::save_module(directory.file(run_files::model), *model);

    ordered_json result = training::to_json(training::measure(tests, *model));
    result["n_train"] = images.size();
    result["n_train_poisoned"] = experiment.poisoned.indices.size();
    training::add_costs(result, seconds, model->parameter_count());
    directory.write_json(run_files::result, result);
    return result;
}

}  // namespace cnpd::runs
