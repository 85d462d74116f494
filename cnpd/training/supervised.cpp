#include "cnpd/training/supervised.h"

#include <nlohmann/json.hpp>

#include "engine/autograd.h"
#include "engine/ops.h"

namespace cnpd::training {

using engine::Tensor;

void Recipe::fields(settings::Fields& f) {
    f.add("epochs", epochs, "Epochs").range(1, 100'000);
    f.add("batch_size", batch_size, "Images per batch").range(1, 65'536);
    f.add("lr", learning_rate, "Learning rate").range(0, 1e3).formerly("learning_rate");
    f.add("momentum", momentum, "Momentum of SGD").range(0, 1);
    f.add("nesterov", nesterov, "Use Nesterov momentum");
    f.add("weight_decay", weight_decay, "Weight decay").range(0, 1e3);
    f.add("schedule", schedule, "Schedule of the learning rate: one-cycle or cosine");
    f.add("warm_up", warm_up, "one-cycle: share of the steps in which the learning rate rises")
        .range(0, 1);
}

std::vector<std::string> recipe_names() {
    return {"fast", "backdoorbench"};
}

Recipe recipe_named(const std::string& name) {
    if (name == "fast") return {};
    if (name == "backdoorbench")
        return {.epochs = 100,
                .learning_rate = 0.01,
                .nesterov = false,
                .schedule = Recipe::Schedule::cosine};
    settings::throw_unknown("--recipe", name, recipe_names());
}

namespace {

std::unique_ptr<engine::Schedule> schedule_of(const Recipe& recipe, std::int64_t steps) {
    if (recipe.schedule == Recipe::Schedule::cosine)
        return engine::cosine_schedule(recipe.learning_rate, steps);
    return engine::one_cycle_schedule(
        {.max_rate = recipe.learning_rate, .total_steps = steps, .warm_up = recipe.warm_up});
}

}  // namespace

TrainingDraws draws_of(const datasets::Dataset& data, bool augment, std::uint64_t seed) {
    return {.crop_padding = augment ? data.crop_padding : 0,
            .flip = augment && data.flip,
            .seed = seed};
}

SupervisedTask::SupervisedTask(models::Classifier& model, const datasets::BatchSource& images,
                               const Settings& settings)
    : model_(model),
      images_(images),
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
    const datasets::Augmentation augmentation{.crop_padding = settings_.draws.crop_padding,
                                              .flip = settings_.draws.flip,
                                              .seed = settings_.draws.seed,
                                              .epoch = number};
    Tensor labels = epoch_->labels(batch);
    const Tensor input = settings_.change_batch
                             ? changed_input(batch, augmentation, labels)
                             : images_.input(epoch_->indices(batch), augmentation);
    const Tensor inputs[] = {input, labels};
    return graph_.run(inputs);
}

Tensor SupervisedTask::changed_input(std::int64_t batch, const datasets::Augmentation& augmentation,
                                     Tensor& labels) const {
    const engine::NoGrad no_grad;
    Tensor pixels = images_.pixels(epoch_->indices(batch), augmentation);
    labels = labels.clone();  // keeps the epoch's labels unchanged
    settings_.change_batch(pixels, labels, augmentation.epoch, batch);
    return images_.normalise(pixels);
}

Tensor SupervisedTask::update(const Tensor& input, const Tensor& labels) {
    optimizer_.zero_grad();
    const Tensor loss = engine::ops::cross_entropy(model_.forward(input), labels);
    engine::backward(loss);
    optimizer_.step();
    return loss.detach();
}

void SupervisedTask::end_epoch(std::int64_t, double, nlohmann::ordered_json& record) {
    record["lr"] = optimizer_.learning_rate();
    model_.eval();
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
