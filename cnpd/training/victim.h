// Training a victim: ordinary supervised training on a data set in which some images carry a
// trigger.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cnpd/training/evaluation.h"
#include "cnpd/training/loop.h"
#include "datasets/batches.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "engine/step_graph.h"
#include "models/classifier.h"

namespace cnpd::training {

// A named set of hyper-parameters.
//   fast           SGD lr 0.1 one-cycle, Nesterov: good accuracy in few epochs (the default)
//   backdoorbench  SGD lr 0.01 cosine, 100 epochs: the field's benchmark
//   fine-tuning    SGD lr 0.01 cosine: the FT baseline of the benchmark
struct Recipe {
    std::string name = "fast";
    std::int64_t epochs = 10, batch_size = 128;
    double learning_rate = 0.1, momentum = 0.9, weight_decay = 5e-4;
    bool nesterov = true;
    enum class Schedule { one_cycle, cosine } schedule = Schedule::one_cycle;
    double warm_up = 0.25;  // share of the steps, one-cycle
};
// Throws InputError for an unknown name.
Recipe recipe_from_name(const std::string& name);

// Crop, flip and seeds of one training.
struct TrainingDraws {
    std::int64_t crop_padding = 0;
    bool flip = false;
    std::uint64_t seed = 0;
};

// Cross-entropy training of all weights. Evaluates after each epoch where test sets are given.
class SupervisedTask : public TrainingTask {
  public:
    struct Settings {
        std::string label = "victim";
        Recipe recipe;
        TrainingDraws draws;
        std::int64_t evaluate_every = 1;  // epochs; 0: only after the last
    };
    SupervisedTask(models::Classifier& model, const datasets::BatchSource& images,
                   const TestSets* tests, const Settings& settings);

    std::string label() const override { return settings_.label; }
    std::int64_t epochs() const override { return settings_.recipe.epochs; }
    std::int64_t batches() const override { return batches_; }
    std::int64_t batch_size() const override { return settings_.recipe.batch_size; }
    engine::Device device() const override { return images_.device(); }
    engine::Tensor step(std::int64_t epoch, std::int64_t batch) override;
    std::string obstacle_to_graphs() const override { return graph_.obstacle(); }
    void end_epoch(std::int64_t epoch, double train_loss, nlohmann::ordered_json& record) override;
    std::vector<engine::nn::NamedTensor> state() override;

  private:
    engine::Tensor update(const engine::Tensor& input, const engine::Tensor& labels);

    models::Classifier& model_;
    const datasets::BatchSource& images_;
    const TestSets* tests_;
    Settings settings_;
    std::int64_t batches_;
    engine::Sgd optimizer_;
    std::unique_ptr<engine::Schedule> schedule_;
    std::optional<datasets::Epoch> epoch_;
    engine::StepGraph graph_;  // of update()
};

}  // namespace cnpd::training
