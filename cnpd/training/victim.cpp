#include "cnpd/training/victim.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/metrics/json.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "kernels/common/error.h"

namespace cnpd::training {

using engine::Tensor;

Recipe recipe_from_name(const std::string& name) {
    if (name == "fast") return {.name = name};
    if (name == "backdoorbench")
        return {.name = name,
                .epochs = 100,
                .learning_rate = 0.01,
                .nesterov = false,
                .schedule = Recipe::Schedule::cosine};
    if (name == "fine-tuning")
        return {.name = name,
                .epochs = 100,
                .batch_size = 256,
                .learning_rate = 0.01,
                .nesterov = false,
                .schedule = Recipe::Schedule::cosine};
    throw InputError(
        fmt::format("unknown recipe '{}'; known: fast, backdoorbench, fine-tuning", name));
}

namespace {

std::unique_ptr<engine::Schedule> schedule_of(const Recipe& recipe, std::int64_t steps) {
    if (recipe.schedule == Recipe::Schedule::cosine)
        return engine::cosine_schedule(recipe.learning_rate, steps);
    return engine::one_cycle_schedule(
        {.max_rate = recipe.learning_rate, .total_steps = steps, .warm_up = recipe.warm_up});
}

}  // namespace

SupervisedTask::SupervisedTask(models::Classifier& model, const datasets::BatchSource& images,
                               const TestSets* tests, const Settings& settings)
    : model_(model),
      images_(images),
      tests_(tests),
      settings_(settings),
      batches_(datasets::EpochOrder::batches_of(images.size(), settings.recipe.batch_size)),
      optimizer_({{.parameters = model.parameters(), .weight_decay = settings.recipe.weight_decay}},
                 {.momentum = settings.recipe.momentum, .nesterov = settings.recipe.nesterov}),
      schedule_(schedule_of(settings.recipe, settings.recipe.epochs * batches_)),
      graph_([this](std::span<const Tensor> inputs) { return update(inputs[0], inputs[1]); }) {}

Tensor SupervisedTask::step(std::int64_t epoch, std::int64_t batch) {
    const auto number = static_cast<std::uint64_t>(epoch);
    if (!epoch_ || epoch_->number() != number)
        epoch_.emplace(images_, batch_size(), settings_.draws.seed, number);
    model_.train();
    optimizer_.set_learning_rate(schedule_->learning_rate(epoch * batches_ + batch));
    const Tensor inputs[] = {
        images_.input(epoch_->indices(batch),
                      datasets::Augmentation{.crop_padding = settings_.draws.crop_padding,
                                             .flip = settings_.draws.flip,
                                             .seed = settings_.draws.seed,
                                             .epoch = number}),
        epoch_->labels(batch)};
    return graph_.run(inputs);
}

Tensor SupervisedTask::update(const Tensor& input, const Tensor& labels) {
    optimizer_.zero_grad();
    const Tensor loss = engine::ops::cross_entropy(model_.forward(input), labels);
    engine::backward(loss);
    optimizer_.step();
    return loss.detach();
}

void SupervisedTask::end_epoch(std::int64_t epoch, double, nlohmann::ordered_json& record) {
    record["lr"] = optimizer_.learning_rate();
    const bool last = epoch + 1 == epochs();
    const bool due = settings_.evaluate_every > 0 && (epoch + 1) % settings_.evaluate_every == 0;
    if (!tests_ || (!last && !due)) return;
    model_.eval();
    metrics::add_scores(
        record, evaluate(*tests_, [this](const Tensor& input) { return model_.forward(input); }));
}

std::vector<engine::nn::NamedTensor> SupervisedTask::state() {
    std::vector<engine::nn::NamedTensor> all;
    const auto add = [&](const char* prefix, std::vector<engine::nn::NamedTensor> tensors) {
        for (auto& named : tensors) {
            named.name = prefix + named.name;
            all.push_back(std::move(named));
        }
    };
    add("model.", model_.state());
    add("model.", model_.training_state());
    add("optimizer.", optimizer_.state());
    return all;
}

}  // namespace cnpd::training
