// Supervised training, of a victim or for fine-tuning.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cnpd/settings/fields.h"
#include "cnpd/training/loop.h"
#include "datasets/batches.h"
#include "datasets/dataset.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "engine/step_graph.h"
#include "models/classifier.h"

namespace cnpd::training {

// Hyper-parameters of supervised training.
struct Recipe {
    std::int64_t epochs = 10, batch_size = 128;
    double learning_rate = 0.1, momentum = 0.9, weight_decay = 5e-4;
    bool nesterov = true;
    enum class Schedule { one_cycle, cosine } schedule = Schedule::one_cycle;
    double warm_up = 0.25;  // share of the steps, one-cycle

    void fields(settings::Fields& f);
};

// The recipes of a victim, by name:
//   fast SGD lr 0.1 one-cycle, Nesterov: good accuracy in few epochs (the default) backdoorbench
//   SGD lr 0.01 cosine, 100 epochs: as in BackdoorBench
std::vector<std::string> recipe_names();
// Throws InputError for an unknown name.
Recipe recipe_named(const std::string& name);

// Augmentation and seed of a training.
struct TrainingDraws {
    std::int64_t crop_padding = 0;
    bool flip = false;
    std::uint64_t seed = 0;
};

// The data set's augmentation; without augmentation only the seed.
TrainingDraws draws_of(const datasets::Dataset& data, bool augment, std::uint64_t seed);

// Cross-entropy training of all weights. Between epochs the model is in evaluation mode.
class SupervisedTask : public TrainingTask {
  public:
    struct Settings {
        std::string label = "victim";
        Recipe recipe;
        TrainingDraws draws;
        // Changes a batch before the update, for attacks that take part in training: pixels
        // [N,H,W,C] in [0,1] after augmentation, labels int32 [N].
        std::function<void(engine::Tensor& pixels, engine::Tensor& labels, std::uint64_t epoch,
                           std::int64_t batch)>
            change_batch{};
    };
    SupervisedTask(models::Classifier& model, const datasets::BatchSource& images,
                   const Settings& settings);

    std::string label() const override { return settings_.label; }
    std::int64_t epochs() const override { return settings_.recipe.epochs; }
    std::int64_t batches() const override { return batches_; }
    std::int64_t batch_size() const override { return settings_.recipe.batch_size; }
    engine::Device device() const override { return images_.device(); }
    engine::Tensor step(std::int64_t epoch, std::int64_t batch) override;
    void end_epoch(std::int64_t epoch, double train_loss, nlohmann::ordered_json& record) override;
    std::vector<engine::nn::NamedTensor> state() override;

  private:
    engine::Tensor changed_input(std::int64_t batch, const datasets::Augmentation& augmentation,
                                 engine::Tensor& labels) const;
    engine::Tensor update(const engine::Tensor& input, const engine::Tensor& labels);

    models::Classifier& model_;
    const datasets::BatchSource& images_;
    Settings settings_;
    std::int64_t batches_;
    engine::Sgd optimizer_;
    std::unique_ptr<engine::Schedule> schedule_;
    std::optional<datasets::Epoch> epoch_;
    engine::StepGraph graph_;  // of update()
};

}  // namespace cnpd::training

template <>
struct cnpd::settings::Names<cnpd::training::Recipe::Schedule> {
    using Schedule = training::Recipe::Schedule;
    static constexpr std::pair<Schedule, const char*> all[] = {{Schedule::one_cycle, "one-cycle"},
                                                               {Schedule::cosine, "cosine"}};
};
