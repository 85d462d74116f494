#include "cnpd/training/runs.h"

#include <functional>
#include <span>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/metrics/json.h"
#include "cnpd/polarizers/registry.h"
#include "cnpd/training/log.h"
#include "cnpd/training/loop.h"
#include "cnpd/training/names.h"
#include "cnpd/training/pattern_file.h"
#include "cnpd/training/run_directory.h"
#include "cnpd/version.h"
#include "engine/autograd.h"
#include "engine/checkpoint.h"
#include "engine/files.h"
#include "engine/ops.h"
#include "engine/safetensors.h"
#include "engine/storage.h"
#include "kernels/common/error.h"
#include "kernels/common/parallel.h"

namespace cnpd::training {

using engine::Device;
using engine::Tensor;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMaxMetricsBytes = 256 << 20;

std::string fingerprint(std::span<const std::byte> bytes) {
    const auto hash =
        std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return fmt::format("{:016x}", hash);
}

// Of a run's weights.
std::string fingerprint(const fs::path& run) {
    return fingerprint(
        engine::read_file(run_file(run, run_files::model), engine::SafetensorsFile::kMaxBytes));
}

// What a checkpoint must match: everything but where the data lies.
std::string identity_of(ordered_json config, const Experiment& experiment) {
    config.erase("device");
    config.erase("threads");
    // What every run was before there was a choice.
    if (config["precision"] == name_of(Precision::fp32)) config.erase("precision");
    config["dataset"].erase("data");
    if (const auto picture = experiment.attack->picture(); !picture.empty())
        config["attack"]["blend_pattern"] = fingerprint(std::as_bytes(picture));
    return config.dump();
}

ordered_json describe(const char* kind, const InputInfo& input, ordered_json settings,
                      const Compute& compute) {
    ordered_json config;
    config["kind"] = kind;
    config["cnpd"] = kVersion;
    config["device"] = compute.device.str();
    config["precision"] = name_of(compute.precision);
    config["threads"] = kernels::thread_count();
    for (auto& [key, value] : settings.items()) config[key] = std::move(value);
    config.update(to_json(input));
    return config;
}

// What every run's configuration says of its victim and the images.
std::pair<VictimSettings, InputInfo> read_run(const fs::path& run, const ordered_json& config) {
    const std::string path = run_file(run, run_files::config).string();
    return {with_located_pattern(victim_settings(config, path), run), input_info(config, path)};
}

void save_model(const RunDirectory& directory, const char* name, const engine::nn::Module& module) {
    engine::save_tensors(directory.file(name), module.state());
}

void load_model(const fs::path& path, engine::nn::Module& module) {
    auto state = module.state();
    engine::load_tensors(path, state);
}

// The part of result.json that every training has.
void add_costs(ordered_json& result, double seconds, std::int64_t parameters) {
    result["seconds"] = seconds;
    result["parameters_trained"] = parameters;
    result["peak_memory_bytes"] = engine::peak_resident_bytes();
}

ordered_json scores_json(const metrics::Scores& scores) {
    ordered_json json;
    metrics::add_scores(json, scores);
    json["asr_untriggered"] = metrics::percent(scores.asr_untriggered);
    json["n_clean"] = scores.n_clean;
    json["n_poisoned"] = scores.n_poisoned;
    return json;
}

metrics::Scores evaluate_model(const TestSets& tests, models::Classifier& model) {
    model.eval();
    return evaluate(tests, [&](const Tensor& input) { return model.forward(input); });
}

// The victim's scores, then the defended model's against them.
void add_comparison(ordered_json& result, const metrics::Scores& before,
                    const metrics::Scores& after) {
    result["der"] = metrics::percent(metrics::defense_effectiveness(before, after));
    result["acc_before"] = metrics::percent(before.acc);
    result["asr_before"] = metrics::percent(before.asr);
    result["r_acc_before"] = metrics::percent(before.r_acc);
}

polarizers::PurifiedOptions purified_options(const DefenseSettings& settings) {
    return {.insertion_point = settings.bilevel.insertion_point,
            .routing = settings.method == "ensemble" ? polarizers::Routing::ensemble
                                                     : polarizers::Routing::prediction,
            .top_k = settings.top_k};
}

std::int64_t channels_at(const models::Classifier& victim, const std::string& point,
                         const InputInfo& input, Device device) {
    const engine::NoGrad no_grad;
    const Tensor image =
        Tensor::zeros({1, input.h, input.w, input.c}, engine::DType::float32, device);
    return victim.prefix(image, point).z.shape()[3];
}

std::unique_ptr<polarizers::Polarizer> make_polarizer(const DefenseSettings& settings,
                                                      const models::Classifier& victim,
                                                      std::int64_t channels, Device device) {
    polarizers::PolarizerSettings polarizer = settings.polarizer;
    polarizer.name = polarizer_of(settings.method);
    return polarizers::make_polarizer(
        polarizer, {.classes = victim.classes(), .channels = channels, .device = device},
        settings.seed);
}

// The class that images of each class are pushed to, by the strategies that know the attack, or
// take another for it; empty for the others.
std::vector<std::int32_t> targets_of(const attacks::Attack& attack, const BilevelSettings& settings,
                                     std::int64_t classes) {
    std::vector<std::int32_t> targets;
    for (std::int32_t label = 0; label < classes; ++label) {
        const std::int32_t target = attack.backdoor_label(label);
        switch (settings.strategy) {
            case Strategy::target:
                targets.push_back(target);
                break;
            case Strategy::wrong:
                targets.push_back(static_cast<std::int32_t>((target + 1) % classes));
                break;
            case Strategy::given:
                targets.push_back(static_cast<std::int32_t>(settings.push_to));
                break;
            case Strategy::random:
            case Strategy::second:
            case Strategy::untarget:
                break;
        }
    }
    return targets;
}

polarizers::FeatureStatistics statistics_of(const models::Classifier& victim,
                                            const std::string& point,
                                            const datasets::BatchSource& images,
                                            std::int64_t channels) {
    const CachedFeatures features = cache_features(victim, point, images);
    polarizers::FeatureStatisticsCollector collector(victim.classes(), channels);
    for (std::size_t i = 0; i < features.cuts.size(); ++i)
        collector.add(features.cuts[i].z, engine::ops::argmax(features.victim_logits[i]));
    return collector.finish();
}

// Scores and detection rates of a purified model over the test sets.
struct PurifiedScores {
    metrics::Scores before, after;
    metrics::Detection detection;
};
PurifiedScores measure_purified(const TestSets& tests, const polarizers::PurifiedModel& model) {
    struct Both {
        std::vector<std::int32_t> victim, purified;
        std::vector<float> drops;
        metrics::Judged judged() const { return {victim, purified, drops}; }
    };
    const auto predict = [&](const datasets::BatchSource& images) {
        Both both;
        both.purified = predict_all(images, [&](const Tensor& input) {
            const polarizers::Predictions p = model.predict(input);
            const auto piece = engine::ops::argmax(p.victim).to_host<std::int32_t>();
            both.victim.insert(both.victim.end(), piece.begin(), piece.end());
            const auto drops = metrics::drops_of_probability(
                engine::ops::softmax(p.victim).to_host<float>(),
                engine::ops::softmax(p.purified).to_host<float>(), piece);
            both.drops.insert(both.drops.end(), drops.begin(), drops.end());
            return p.purified;
        });
        return both;
    };
    const Both clean = predict(tests.clean), poisoned = predict(tests.poisoned);
    const metrics::PoisonedLabels labels = tests.poisoned_labels();
    const auto& truth = tests.clean.host_labels();
    return {.before = metrics::score(clean.victim, truth, poisoned.victim, labels),
            .after = metrics::score(clean.purified, truth, poisoned.purified, labels),
            .detection =
                metrics::detect(clean.judged(), poisoned.judged(), tests.poisoned.host_labels())};
}

ordered_json purified_json(const PurifiedScores& scores) {
    ordered_json result = scores_json(scores.after);
    add_comparison(result, scores.before, scores.after);
    result["detection_tpr"] = metrics::percent(scores.detection.true_positive_rate);
    result["detection_tpr_successful"] =
        metrics::percent(scores.detection.true_positive_rate_successful);
    result["detection_fpr"] = metrics::percent(scores.detection.false_positive_rate);
    result["detection_auroc"] = metrics::percent(scores.detection.auroc);
    result["detection_auroc_successful"] = metrics::percent(scores.detection.auroc_successful);
    return result;
}

}  // namespace

ordered_json run_train(const VictimSettings& settings, const RunOptions& options) {
    validate(settings);
    RunDirectory directory(options.out, {.resume = options.resume, .overwrite = options.overwrite});
    const Experiment experiment = prepare_experiment(settings);
    const InputInfo input = input_info(experiment.data);
    const ordered_json config = describe(
        "victim", input, to_json(with_stored_pattern(settings, experiment)), options.compute);
    const LoopOptions loop{.resume = options.resume, .identity = identity_of(config, experiment)};
    check_checkpoint(directory, loop);
    auto model = make_victim(settings, input, options.compute);
    const auto images = poisoned_training_set(experiment, options.compute.device);
    const TestSets tests = make_test_sets(experiment, options.compute.device);

    store_pattern(experiment, directory);
    directory.write_json(run_files::config, config);
    directory.write_json(run_files::indices, {{"poisoned", experiment.poisoned.indices}});
    SupervisedTask task(*model, images, &tests,
                        {.recipe = settings.recipe,
                         .draws = draws_of(experiment.data, settings.augment, settings.seed),
                         .evaluate_every = settings.evaluate_every});
    const double seconds = run_training(task, directory, loop);
    save_model(directory, run_files::model, *model);

    ordered_json result = scores_json(evaluate_model(tests, *model));
    result["n_train"] = images.size();
    result["n_train_poisoned"] = experiment.poisoned.indices.size();
    add_costs(result, seconds, model->parameter_count());
    directory.write_json(run_files::result, result);
    return result;
}

namespace {

struct TrainedPolarizer {
    std::unique_ptr<polarizers::Polarizer> polarizer;
    double seconds = 0;
    std::string metrics{};  // the text of metrics.jsonl, of one that was trained elsewhere
};

// The polarizer of a finished run.
TrainedPolarizer read_trained(const DefenseSettings& settings, const models::Classifier& victim,
                              std::int64_t channels, Device device) {
    const fs::path run = settings.polarizers;
    TrainedPolarizer trained{.polarizer = make_polarizer(settings, victim, channels, device)};
    load_model(run_file(run, run_files::polarizer), *trained.polarizer);
    if (const fs::path history = run_file(run, run_files::metrics); fs::exists(history))
        trained.metrics = engine::read_text_file(history, kMaxMetricsBytes);
    const fs::path result = run_file(run, run_files::result);
    const ordered_json json = read_json(result);
    const auto seconds = json.find("seconds");
    if (seconds == json.end() || !seconds->is_number())
        throw FileError(result.string(), "has no \"seconds\"", "the result of a finished run");
    trained.seconds = seconds->get<double>();
    return trained;
}

// A defense about to run.
struct Defense {
    const DefenseSettings& settings;
    const RunOptions& options;
    RunDirectory& directory;
    models::Classifier& victim;
    const datasets::BatchSource& clean;
    const datasets::BatchSource* held_out;  // null: none
    const TestSets& tests;
    const InputInfo& input;
    const attacks::Attack& attack;
    TrainingDraws draws;
    LoopOptions loop;
    std::int64_t channels;                  // at the insertion point
    std::optional<TrainedPolarizer> taken;  // from another run, instead of training one
};

ordered_json fine_tune(const Defense& d) {
    const metrics::Scores before = evaluate_model(d.tests, d.victim);
    SupervisedTask task(d.victim, d.clean, &d.tests,
                        {.label = "fine-tuning",
                         .recipe = d.settings.fine_tuning,
                         .draws = d.draws,
                         .evaluate_every = d.settings.bilevel.evaluate_every});
    const double seconds = run_training(task, d.directory, d.loop);
    save_model(d.directory, run_files::model, d.victim);
    const metrics::Scores after = evaluate_model(d.tests, d.victim);
    ordered_json result = scores_json(after);
    add_comparison(result, before, after);
    add_costs(result, seconds, d.victim.parameter_count());
    return result;
}

TrainedPolarizer train_polarizer(const Defense& d) {
    BilevelSettings settings = d.settings.bilevel;
    settings.draws = d.draws;
    TrainedPolarizer trained{
        .polarizer = make_polarizer(d.settings, d.victim, d.channels, d.options.compute.device)};
    polarizers::Polarizer& polarizer = *trained.polarizer;
    if (settings.batch_norm_start != BatchNormStart::published) {
        const auto statistics =
            statistics_of(d.victim, settings.insertion_point, d.clean, d.channels);
        polarizer.calibrate(
            settings.batch_norm_start == BatchNormStart::shared ? statistics.shared() : statistics);
    }
    settings.target_of_class = targets_of(d.attack, settings, d.victim.classes());
    BilevelTask task(d.victim, polarizer, d.clean, d.held_out, &d.tests, settings);
    trained.seconds = run_training(task, d.directory, d.loop);
    return trained;
}

ordered_json polarize(Defense& d) {
    // The directory is complete without the victim's: its weights are copied before they are
    // folded.
    save_model(d.directory, run_files::model, d.victim);
    d.victim.freeze();
    if (d.taken && !d.taken->metrics.empty())
        d.directory.write(run_files::metrics, d.taken->metrics);
    const TrainedPolarizer trained = d.taken ? std::move(*d.taken) : train_polarizer(d);
    trained.polarizer->refresh();
    save_model(d.directory, run_files::polarizer, *trained.polarizer);
    ordered_json result = purified_json(measure_purified(
        d.tests,
        polarizers::PurifiedModel(d.victim, *trained.polarizer, purified_options(d.settings))));
    add_costs(result, trained.seconds, trained.polarizer->parameter_count());
    return result;
}

}  // namespace

DefendedData defended_data(const fs::path& victim_run) {
    const auto [victim, input] = read_run(victim_run, read_config(victim_run, "victim"));
    return {.dataset = victim.data.name,
            .classes = static_cast<std::int64_t>(input.class_names.size()),
            .h = input.h,
            .w = input.w};
}

DefenseSettings taking_over(const fs::path& r_cnpd_run) {
    const std::string path = run_file(r_cnpd_run, run_files::config).string();
    DefenseSettings settings = defense_settings(read_config(r_cnpd_run, "defense"), path);
    if (settings.method != "r-cnpd")
        throw FileError(path, fmt::format("is a run of {}", settings.method), "r-cnpd's");
    settings.method = "ensemble";
    settings.polarizers = r_cnpd_run.string();
    return settings;
}

ordered_json run_defend(const fs::path& victim_run, const std::string& data_override,
                        const DefenseSettings& requested, const RunOptions& options) {
    validate(requested);
    auto [victim_settings, input] = read_run(victim_run, read_config(victim_run, "victim"));
    if (!data_override.empty()) victim_settings.data.directory = data_override;

    RunDirectory directory(options.out, {.resume = options.resume, .overwrite = options.overwrite});
    const Experiment experiment = prepare_experiment(victim_settings, input);
    auto victim = make_victim(victim_settings, input, options.compute);
    load_model(run_file(victim_run, run_files::model), *victim);
    DefenseSettings settings = requested;
    if (!settings.polarizers.empty() && fingerprint(settings.polarizers) != fingerprint(victim_run))
        throw InputError(fmt::format("polarizers: {} is a defense of another victim than {}",
                                     settings.polarizers, victim_run.string()));
    if (settings.bilevel.push_to >= victim->classes())
        throw InputError(
            fmt::format("push-to {} of {} classes", settings.bilevel.push_to, victim->classes()));
    if (settings.bilevel.insertion_point.empty())
        settings.bilevel.insertion_point = victim->insertion_point();
    // Refuses an unknown one while nothing is written yet. In training mode it would change the
    // victim's running statistics.
    victim->eval();
    const Device device = options.compute.device;
    const std::int64_t channels =
        channels_at(*victim, settings.bilevel.insertion_point, input, device);
    std::optional<TrainedPolarizer> taken;
    if (!settings.polarizers.empty()) taken = read_trained(settings, *victim, channels, device);

    ordered_json all = to_json(with_stored_pattern(victim_settings, experiment));
    all.update(to_json(settings));
    const ordered_json config = describe("defense", input, std::move(all), options.compute);
    const auto subset = draw_clean_subset(experiment.data.train, experiment.classes(),
                                          settings.clean_ratio, settings.seed);
    const SplitSubset split =
        hold_out(subset, experiment.data.train, experiment.classes(), settings.hold_out);
    const auto clean = clean_subset(experiment, split.training, device);
    const auto held_out = clean_subset(experiment, split.held_out, device);
    const TestSets tests = make_test_sets(experiment, device);
    const LoopOptions loop{
        .resume = options.resume,
        .identity = identity_of(config, experiment) + " of victim " + fingerprint(victim_run)};
    check_checkpoint(directory, loop);
    const fs::path history = run_file(victim_run, run_files::metrics);

    store_pattern(experiment, directory);
    directory.write_json(run_files::config, config);
    directory.write_json(run_files::indices,
                         {{"poisoned", experiment.poisoned.indices},
                          {"clean_subset", subset},
                          {"overlap", overlap(subset, experiment.poisoned.indices)}});
    if (fs::exists(history))
        directory.write(run_files::victim_metrics,
                        engine::read_text_file(history, kMaxMetricsBytes));
    Defense defense{.settings = settings,
                    .options = options,
                    .directory = directory,
                    .victim = *victim,
                    .clean = clean,
                    .held_out = held_out.size() > 0 ? &held_out : nullptr,
                    .tests = tests,
                    .input = input,
                    .attack = *experiment.attack,
                    .draws = draws_of(experiment.data, settings.augment, settings.seed),
                    .loop = loop,
                    .channels = channels,
                    .taken = std::move(taken)};
    ordered_json result = is_polarizer(settings.method) ? polarize(defense) : fine_tune(defense);
    result["n_clean_subset"] = clean.size();
    directory.write_json(run_files::result, result);
    return result;
}

Tensor LoadedRun::predict(const Tensor& images) const {
    const engine::NoGrad no_grad;
    return purified ? purified->predict(images).purified : model->forward(images);
}

std::unique_ptr<LoadedRun> load_run(const fs::path& path, const Compute& compute) {
    const ordered_json config = read_config(path);
    auto run = std::make_unique<LoadedRun>();
    std::tie(run->victim_settings, run->input) = read_run(path, config);
    if (config["kind"] == "defense")
        run->defense_settings =
            defense_settings(config, run_file(path, run_files::config).string());
    run->model = make_victim(run->victim_settings, run->input, compute);
    load_model(run_file(path, run_files::model), *run->model);
    run->model->freeze();
    if (!run->defense_settings || !is_polarizer(run->defense_settings->method)) return run;

    const std::string& point = run->defense_settings->bilevel.insertion_point;
    auto polarizer =
        make_polarizer(*run->defense_settings, *run->model,
                       channels_at(*run->model, point, run->input, compute.device), compute.device);
    load_model(run_file(path, run_files::polarizer), *polarizer);
    polarizer->refresh();
    run->polarizer = std::move(polarizer);
    run->purified.emplace(*run->model, *run->polarizer, purified_options(*run->defense_settings));
    return run;
}

ordered_json run_evaluate(const fs::path& path, const std::string& data_override,
                          const Compute& compute) {
    const auto run = load_run(path, compute);
    if (!data_override.empty()) run->victim_settings.data.directory = data_override;
    const Experiment experiment = prepare_experiment(run->victim_settings, run->input);
    const TestSets tests = make_test_sets(experiment, compute.device);
    if (run->purified) return purified_json(measure_purified(tests, *run->purified));
    return scores_json(evaluate_model(tests, *run->model));
}

}  // namespace cnpd::training
