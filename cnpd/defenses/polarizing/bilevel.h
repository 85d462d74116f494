// Training a polarizer: the bi-level problem of the neural-polarizer papers.
//
//     inner maximisation   makes an adversarial example x + delta for each image with a few PGD
//                          steps; it replaces the unknown trigger
//     outer minimisation   trains the polarizer to classify clean images as before and to restore
//                          the clean predictions of the adversarial examples
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

// Initial batch norm of a polarizer.
enum class BatchNormStart {
    calibrated,  // the identity, with statistics of the clean images predicted as its class
    shared,      // the identity, with statistics of all clean images
    published,   // scale 1, shift 0, mean 0, variance 1; the warm-up uses the batches' statistics
                 // and keeps the running statistics collected there
};

struct BilevelSettings {
    std::string insertion_point;
    std::int64_t warmup_epochs = 2;  // clean cross-entropy only, at warmup_rate
    std::int64_t epochs = 20;        // of the bi-level problem
    std::int64_t batch_size = 128;
    double learning_rate = 0.01, warmup_rate = 1e-4, momentum = 0.9, weight_decay = 5e-4;
    bool cosine = true;  // else a constant learning rate
    // Mode of the polarizer's batch norm in updates. The inner loop always uses the running
    // statistics, as the deployed polarizer does.
    polarizers::BatchNormMode batch_norm = polarizers::BatchNormMode::frozen;
    BatchNormStart batch_norm_start = BatchNormStart::calibrated;
    double clip_norm = 1;  // of the gradient, for each class's polarizer; 0: none
    training::AdversarySettings adversary{};  // the inner maximisation
    ops::DefenseLossWeights weights{.clean = 1, .undo = 0.05f, .strongest = 0.05f, .target = 0.3f};
    training::TrainingDraws draws{};
};

// Epochs 0 .. warmup_epochs-1 are the warm-up, the others solve the bi-level problem. The victim
// must be frozen.
class BilevelTask : public training::TrainingTask {
  public:
    // `held_out` are clean images for measurement only, to choose settings; null for none.
    BilevelTask(const models::Classifier& victim, polarizers::Polarizer& polarizer,
                const datasets::BatchSource& clean_subset, const datasets::BatchSource* held_out,
                const BilevelSettings& settings);

    std::string label() const override;
    std::int64_t epochs() const override { return settings_.warmup_epochs + settings_.epochs; }
    std::int64_t batches() const override { return batches_; }
    std::int64_t batch_size() const override { return settings_.batch_size; }
    engine::Device device() const override { return images_.device(); }
    engine::Tensor step(std::int64_t epoch, std::int64_t batch) override;
    // Disables graphs, for comparisons.
    void run_as_written();
    // Reason why steps of the bi-level problem could not be recorded; empty if they were, or if it
    // was not tried.
    const std::string& obstacle_to_graphs() const { return bilevel_graph_.obstacle(); }
    // Number of replayed steps of the bi-level problem.
    std::int64_t replays() const { return bilevel_graph_.replays(); }
    void end_epoch(std::int64_t epoch, double train_loss, nlohmann::ordered_json& record) override;
    std::vector<engine::nn::NamedTensor> state() override;
    // Number of gradients with respect to the images in the epoch so far. Waits for the device.
    std::int64_t pgd_gradients() const;

  private:
    void measure_held_out(nlohmann::ordered_json& record) const;
    engine::Tensor warmup_step(const engine::Tensor& pixels, const engine::Tensor& labels);
    engine::Tensor bilevel_step(const engine::Tensor& pixels, const engine::Tensor& labels,
                                const engine::Tensor& aim);
    void begin_epoch(std::uint64_t number);
    engine::Tensor purified(const models::Cut& cut, const ops::Routes& routes) const;
    engine::Tensor learning(const models::Cut& cut, const ops::Routes& routes,
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
    engine::Tensor aims_;  // int32, in the order of the epoch's images; see Adversary::aims()
    // Sums over the epoch, float64 [6]: the four terms of the loss, the share of examples that fool
    // the model, and the number of gradients with respect to the images.
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
