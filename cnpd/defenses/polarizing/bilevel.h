// Training a polarizer: the bi-level problem of the neural-polarizer papers.
//
//     inner maximisation   a targeted adversarial example x + delta for each image, the stand-in
//     for
//                          the unknown trigger (a few PGD steps through the frozen victim)
//     outer minimisation   the polarizer learns to classify clean images as before and to lead the
//                          adversarial ones back to where they came from
//
// Sources: NPD, arXiv 2306.16697; CNPD, arXiv 2502.18520.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cnpd/defenses/polarizing/polarizers/polarizer.h"
#include "cnpd/ops/adversarial.h"
#include "cnpd/settings/names.h"
#include "cnpd/training/adversary.h"
#include "cnpd/training/loop.h"
#include "cnpd/training/supervised.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "engine/step_graph.h"
#include "models/classifier.h"

namespace cnpd::defenses {

// What a polarizer's batch norm is before the first step.
enum class BatchNormStart {
    calibrated,  // the identity, on the features of the clean images that are predicted as its
                 // class
    shared,      // the identity, on the features of all clean images
    published,   // fresh: scale 1, shift 0, mean 0, variance 1; the warm-up trains it on its
                 // batches' statistics, and the running ones gathered so are what it keeps
};

struct BilevelSettings {
    std::string insertion_point;
    std::int64_t warmup_epochs = 2;  // of clean cross-entropy alone, at warmup_rate
    std::int64_t epochs = 20;        // of the bi-level problem
    std::int64_t batch_size = 128;
    double learning_rate = 0.01, warmup_rate = 1e-4, momentum = 0.9, weight_decay = 5e-4;
    bool cosine = true;  // else a constant learning rate
    // Of the polarizer while it learns. The inner loop sees the running statistics in any case: it
    // attacks the polarizer that would be deployed.
    polarizers::BatchNormMode batch_norm = polarizers::BatchNormMode::frozen;
    BatchNormStart batch_norm_start = BatchNormStart::calibrated;
    double clip_norm = 1;  // of the gradient, for each class's polarizer; 0: none
    training::AdversarySettings adversary{};  // the inner maximisation
    ops::DefenseLossWeights weights{.clean = 1, .undo = 0.05f, .strongest = 0.05f, .target = 0.3f};
    training::TrainingDraws draws{};
};

// Epochs 0 .. warmup_epochs-1 warm up, the others solve the bi-level problem. The victim must be
// frozen.
class BilevelTask : public training::TrainingTask {
  public:
    // `held_out` are clean images that nothing is trained on; settings can be chosen by them. Null
    // for none.
    BilevelTask(const models::Classifier& victim, polarizers::Polarizer& polarizer,
                const datasets::BatchSource& clean_subset, const datasets::BatchSource* held_out,
                const BilevelSettings& settings);

    std::string label() const override;
    std::int64_t epochs() const override { return settings_.warmup_epochs + settings_.epochs; }
    std::int64_t batches() const override { return batches_; }
    std::int64_t batch_size() const override { return settings_.batch_size; }
    engine::Device device() const override { return images_.device(); }
    engine::Tensor step(std::int64_t epoch, std::int64_t batch) override;
    // For comparisons: no graphs.
    void run_as_written();
    // Why steps of the bi-level problem could not be recorded; empty if they were, or not tried.
    const std::string& obstacle_to_graphs() const { return bilevel_graph_.obstacle(); }
    // Steps of the bi-level problem that were replayed.
    std::int64_t replays() const { return bilevel_graph_.replays(); }
    void end_epoch(std::int64_t epoch, double train_loss, nlohmann::ordered_json& record) override;
    std::vector<engine::nn::NamedTensor> state() override;
    // Gradients with respect to the images, over the epoch so far. Waits for the device.
    std::int64_t pgd_gradients() const;

  private:
    void measure_held_out(nlohmann::ordered_json& record) const;
    engine::Tensor warmup_step(const engine::Tensor& pixels, const engine::Tensor& labels);
    engine::Tensor bilevel_step(const engine::Tensor& pixels, const engine::Tensor& labels,
                                const engine::Tensor& aim);
    void begin_epoch(std::uint64_t number);
    engine::Tensor purified(const models::Cut& cut, const engine::Tensor& labels) const;
    engine::Tensor learning(const models::Cut& cut, const engine::Tensor& labels,
                            polarizers::BatchNormMode mode);
    void update(const engine::Tensor& loss);
    double learning_rate(std::int64_t epoch) const;

    const models::Classifier& victim_;
    polarizers::Polarizer& polarizer_;
    const datasets::BatchSource& images_;
    const datasets::BatchSource* held_out_;
    BilevelSettings settings_;
    training::Adversary adversary_;
    std::int64_t batches_;
    engine::Sgd optimizer_;
    std::optional<datasets::Epoch> epoch_;
    engine::Tensor aims_;  // int32, for each image of the epoch in its order; see Adversary::aims()
    // Sums over the epoch, float64 [6]: the loss's four terms, the share fooled, and the gradients
    // with respect to the images.
    engine::Tensor sums_;
    engine::StepGraph warmup_graph_, bilevel_graph_;  // of the two kinds of steps
};

}  // namespace cnpd::defenses

template <>
struct cnpd::settings::Names<cnpd::defenses::BatchNormStart> {
    using Value = defenses::BatchNormStart;
    static constexpr std::pair<Value, const char*> all[] = {{Value::calibrated, "calibrated"},
                                                            {Value::shared, "shared"},
                                                            {Value::published, "published"}};
};
