#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/evaluation/scores.h"
#include "cnpd/metrics/json.h"
#include "cnpd/runs/configuration.h"
#include "cnpd/runs/runs.h"
#include "cnpd/runs/victim.h"
#include "cnpd/store/run_directory.h"
#include "cnpd/terminal/log.h"
#include "cnpd/training/supervised.h"
#include "engine/checkpoint.h"

namespace cnpd::runs {

using nlohmann::ordered_json;
namespace run_files = store::run_files;

namespace {

// Logs the target class by number and name, because the order of the folders determines the
// numbers.
void announce(const data::PoisonedData& data) {
    const attacks::Attack& attack = *data.attack;
    if (!attack.plants_backdoor()) return;
    const std::string target = attack.mode() == attacks::LabelMode::all_to_all
                                   ? "class y becomes y + 1"
                                   : fmt::format("target class {} ({})", attack.target(),
                                                 data.data.class_names.at(attack.target()));
    log_info(fmt::format("{} of {} training images carry the trigger of {}; {}",
                         data.poisoned.indices.size(), data.data.train.n, attack.name(), target));
}

training::SupervisedTask::Settings task_settings(const VictimSettings& settings,
                                                 const data::PoisonedData& data) {
    training::SupervisedTask::Settings task{
        .recipe = settings.training,
        .draws = training::draws_of(data.data, settings.augment, settings.seed)};
    if (data.attack->takes_part_in_training())
        task.change_batch = [&attack = *data.attack](auto& pixels, auto& labels, auto epoch,
                                                     auto batch) {
            attack.change({.pixels = pixels, .labels = labels, .epoch = epoch, .number = batch});
        };
    return task;
}

}  // namespace

ordered_json train(const VictimSettings& settings, const RunOptions& options) {
    store::RunDirectory directory(options.out,
                                  {.resume = options.resume, .overwrite = options.overwrite});
    VictimSettings stored = settings;
    stored.data.directory = store::absolute(settings.data.directory);
    const data::PoisonedData data = data::prepare(settings.data, settings.attack, settings.seed);
    settings::Fields fields = settings::fields_of(stored);
    const ordered_json config =
        describe("victim", data, settings::to_json(fields), options.compute);
    const data::InputInfo input = data::input_info(data.data);
    const auto model = make_victim(settings, input, options.compute);
    const auto images = data::poisoned_training_set(data, options.compute.device);
    const evaluation::TestSets tests = data::make_test_sets(data, options.compute.device);
    evaluation::Observer observer(tests);
    const evaluation::ClassifierPredictor predictor(*model);
    const training::LoopOptions loop{
        .resume = options.resume,
        .observe =
            [&](ordered_json& record) { metrics::add_scores(record, observer.measure(predictor)); },
        .observe_every = settings.evaluate_every,
        .identity = identity_of(config, *data.attack)};
    training::check_checkpoint(directory, loop);

    announce(data);
    for (const attacks::KeptFile& file : data.attack->kept_files())
        directory.write(file.name,
                        {reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size()});
    write_configuration(directory, config, options);
    directory.write_json(run_files::indices,
                         data::describe_images(data.data, {{"poisoned", data.poisoned.indices}}));
    training::SupervisedTask task(*model, images, task_settings(settings, data));
    const double seconds = training::run_training(task, directory, loop);
    engine::save_module(directory.file(run_files::model), *model);

    ordered_json result = evaluation::to_json(evaluation::measure(tests, *model));
    if (!data.attack->plants_backdoor()) result["benign"] = true;
    result["n_train"] = images.size();
    result["n_train_poisoned"] = data.poisoned.indices.size();
    evaluation::add_costs(result, seconds, model->parameter_count());
    directory.write_json(run_files::result, result);
    return result;
}

}  // namespace cnpd::runs
