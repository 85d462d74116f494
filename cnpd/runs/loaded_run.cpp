#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/evaluation/scores.h"
#include "cnpd/runs/configuration.h"
#include "cnpd/runs/runs.h"
#include "cnpd/runs/victim.h"
#include "cnpd/store/run_directory.h"
#include "cnpd/store/run_files.h"
#include "cnpd/streams.h"
#include "engine/autograd.h"
#include "engine/checkpoint.h"
#include "kernels/common/error.h"

namespace cnpd::runs {

using nlohmann::ordered_json;
namespace fs = std::filesystem;
namespace run_files = store::run_files;

std::unique_ptr<models::Classifier> make_victim(const VictimSettings& settings,
                                                const data::InputInfo& input,
                                                const training::Compute& compute) {
    engine::Generator generator(settings.seed, streams::kWeights);
    return models::make_model({.name = settings.model,
                               .width = settings.width,
                               .head = settings.head,
                               .classes = input.classes(),
                               .channels = input.c,
                               .activations = compute.activations()},
                              generator, compute.device);
}

defenses::Victim victim_of(const LoadedRun& run, const training::Compute& compute) {
    return {.model = *run.victim,
            .input = run.input,
            .device = compute.device,
            .copy = [&run, compute] {
                auto model = make_victim(run.victim_settings, run.input, compute);
                engine::load_module(store::run_file(run.path, run_files::model), *model);
                return model;
            }};
}

data::PoisonedData LoadedRun::poisoned_data(const std::string& data_override) const {
    data::DataSettings where = victim_settings.data;
    if (!data_override.empty()) where.directory = data_override;
    std::error_code ignored;
    if (data_override.empty() && !where.directory.empty() && !fs::exists(where.directory, ignored))
        throw FileError(where.directory,
                        fmt::format("is missing; {} names it as the data directory",
                                    store::run_file(path, run_files::config).string()),
                        "the data set there, or its new directory with --data");
    // A new attack object, because prepare() may be called only once.
    const VictimSettings again = settings_of_victim(path);
    data::PoisonedData data =
        data::prepare(where, again.attack, victim_settings.seed, kept_files(path));
    data::check_same(data::input_info(data.data), input);
    if (!data_fingerprint.empty() && data.fingerprint != data_fingerprint)
        throw InputError(
            fmt::format("the images are not those that {} was trained on: their fingerprint is {}, "
                        "the run's is {}; give the original data set with --data",
                        path.string(), data.fingerprint, data_fingerprint));
    return data;
}

const evaluation::Predictor& LoadedRun::predictor() const {
    return defended ? static_cast<const evaluation::Predictor&>(*defended) : *undefended;
}

VictimSettings settings_of_victim(const fs::path& run) {
    return victim_settings(store::read_config(run),
                           store::run_file(run, run_files::config).string());
}

std::unique_ptr<LoadedRun> load_run(const fs::path& path, const training::Compute& compute) {
    const ordered_json config = store::read_config(path);
    const std::string file = store::run_file(path, run_files::config).string();
    auto run =
        std::make_unique<LoadedRun>(LoadedRun{.path = path,
                                              .victim_settings = victim_settings(config, file),
                                              .defense_settings = {},
                                              .input = data::input_info(config, file),
                                              .victim = {},
                                              .defended = {}});
    if (config["kind"] == "defense") run->defense_settings = defense_settings(config, file);
    if (const auto set = config.find("dataset"); set != config.end() && set->is_object())
        if (const auto found = set->find("fingerprint"); found != set->end() && found->is_string())
            run->data_fingerprint = found->get<std::string>();
    const auto holds = [&](const char* name) { return fs::exists(path / name); };
    if (!holds(run_files::model) || (holds(run_files::checkpoint) && !holds(run_files::result)))
        throw FileError(path.string(), "is an unfinished run",
                        "a finished run; repeat its command with --resume to continue it");
    run->victim = make_victim(run->victim_settings, run->input, compute);
    engine::load_module(store::run_file(path, run_files::model), *run->victim);
    run->victim->freeze();
    run->undefended = std::make_unique<evaluation::ClassifierPredictor>(*run->victim);
    if (run->defense_settings)
        run->defended =
            run->defense_settings->defense->load(store::RunFiles(path), victim_of(*run, compute));
    return run;
}

ordered_json evaluate(const fs::path& path, const std::string& data_override,
                      const training::Compute& compute) {
    const auto run = load_run(path, compute);
    const data::PoisonedData data = run->poisoned_data(data_override);
    const evaluation::TestSets tests = data::make_test_sets(data, compute.device);
    ordered_json result =
        run->defended
            ? evaluation::to_json(evaluation::measure(tests, *run->victim, *run->defended))
            : evaluation::to_json(evaluation::measure(tests, *run->victim));
    if (run->is_benign()) result["benign"] = true;
    return result;
}

defenses::DefendedData defended_data(const fs::path& victim_run) {
    const ordered_json config = store::read_config(victim_run, "victim");
    const std::string file = store::run_file(victim_run, run_files::config).string();
    const VictimSettings settings = victim_settings(config, file);
    const data::InputInfo input = data::input_info(config, file);
    return {.dataset = settings.data.name, .classes = input.classes(), .h = input.h, .w = input.w};
}

}  // namespace cnpd::runs
