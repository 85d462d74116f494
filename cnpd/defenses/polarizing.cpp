#include "cnpd/defenses/polarizing.h"

#include <string>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/defenses/registry.h"
#include "cnpd/polarizers/registry.h"
#include "cnpd/training/bilevel.h"
#include "cnpd/training/scores.h"
#include "engine/autograd.h"
#include "engine/checkpoint.h"
#include "engine/ops.h"
#include "kernels/common/error.h"

namespace cnpd::defenses {
namespace {

using engine::Tensor;
using nlohmann::ordered_json;
using training::BilevelSettings;
using training::DefenseSettings;
using training::Strategy;
namespace fs = std::filesystem;
namespace run_files = training::run_files;

std::int64_t channels_at(const models::Classifier& victim, const std::string& point,
                         const training::InputInfo& input, engine::Device device) {
    const engine::NoGrad no_grad;
    const Tensor image =
        Tensor::zeros({1, input.h, input.w, input.c}, engine::DType::float32, device);
    return victim.prefix(image, point).z.shape()[3];
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
                                            const datasets::BatchSource& images) {
    const training::CachedFeatures features = training::cache_features(victim, point, images);
    polarizers::FeatureStatisticsCollector collector(victim.classes(),
                                                     features.cuts.front().z.shape()[3]);
    for (std::size_t i = 0; i < features.cuts.size(); ++i)
        collector.add(features.cuts[i].z, engine::ops::argmax(features.victim_logits[i]));
    return collector.finish();
}

// What another run has spent on its polarizers, and written while it trained them.
struct FormerTraining {
    double seconds = 0;
    std::string metrics;  // the text of metrics.jsonl
};

FormerTraining read_training(const fs::path& run) {
    const fs::path path = training::run_file(run, run_files::result);
    const ordered_json result = training::read_json(path);
    const auto seconds = result.find("seconds");
    if (seconds == result.end() || !seconds->is_number())
        throw FileError(path.string(), "has no \"seconds\"", "the result of a finished run");
    return {.seconds = seconds->get<double>(), .metrics = training::metrics_text(run)};
}

class Polarizing : public Defense {
  public:
    Polarizing(const DefenseSettings& settings, const models::Classifier& victim,
               const training::InputInfo& input, engine::Device device)
        : polarizer_(make_polarizer(settings, victim, input, device)) {
        if (settings.polarizers.empty()) return;
        const fs::path run = settings.polarizers;
        engine::load_module(training::run_file(run, run_files::polarizer), *polarizer_);
        former_ = read_training(run);
    }

    ordered_json run(const DefenseContext& c) override {
        // The directory is complete without the victim's: its weights are copied before they are
        // folded.
        engine::save_module(c.directory.file(run_files::model), c.victim);
        c.victim.freeze();
        const double seconds = former_ ? take_over(c) : train(c);
        polarizer_->refresh();
        engine::save_module(c.directory.file(run_files::polarizer), *polarizer_);
        ordered_json result = training::to_json(training::measure(
            c.tests,
            polarizers::PurifiedModel(c.victim, *polarizer_, purified_options(c.settings))));
        training::add_costs(result, seconds, polarizer_->parameter_count());
        return result;
    }

  private:
    // Both return the seconds that the polarizer's training took.
    double take_over(const DefenseContext& c) const {
        if (!former_->metrics.empty()) c.directory.write(run_files::metrics, former_->metrics);
        return former_->seconds;
    }

    double train(const DefenseContext& c) {
        using training::BatchNormStart;
        BilevelSettings settings = c.settings.bilevel;
        settings.draws = c.draws;
        settings.target_of_class = targets_of(c.attack, settings, c.victim.classes());
        if (settings.batch_norm_start != BatchNormStart::published) {
            const auto statistics = statistics_of(c.victim, settings.insertion_point, c.clean);
            polarizer_->calibrate(settings.batch_norm_start == BatchNormStart::shared
                                      ? statistics.shared()
                                      : statistics);
        }
        training::BilevelTask task(c.victim, *polarizer_, c.clean, c.held_out, &c.tests, settings);
        return training::run_training(task, c.directory, c.loop);
    }

    std::unique_ptr<polarizers::Polarizer> polarizer_;
    std::optional<FormerTraining> former_;  // of polarizers that are taken over
};

}  // namespace

std::unique_ptr<Defense> make_polarizing(DefenseSettings& settings,
                                         const models::Classifier& victim,
                                         const training::InputInfo& input, engine::Device device) {
    BilevelSettings& bilevel = settings.bilevel;
    if (bilevel.push_to >= victim.classes())
        throw InputError(
            fmt::format("push-to {} of {} classes", bilevel.push_to, victim.classes()));
    if (bilevel.insertion_point.empty()) bilevel.insertion_point = victim.insertion_point();
    return std::make_unique<Polarizing>(settings, victim, input, device);
}

std::unique_ptr<polarizers::Polarizer> make_polarizer(const DefenseSettings& settings,
                                                      const models::Classifier& victim,
                                                      const training::InputInfo& input,
                                                      engine::Device device) {
    polarizers::PolarizerSettings polarizer = settings.polarizer;
    polarizer.name = info_of(settings.method).polarizer;
    const std::int64_t channels =
        channels_at(victim, settings.bilevel.insertion_point, input, device);
    return polarizers::make_polarizer(
        polarizer, {.classes = victim.classes(), .channels = channels, .device = device},
        settings.seed);
}

polarizers::PurifiedOptions purified_options(const DefenseSettings& settings) {
    return {.insertion_point = settings.bilevel.insertion_point,
            .routing = info_of(settings.method).routing,
            .top_k = settings.top_k};
}

}  // namespace cnpd::defenses
