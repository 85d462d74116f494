// The loop that every training of the project runs in: epochs of batches, a line of metrics and a
// checkpoint after each epoch, resuming, and Ctrl-C.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/nn/module.h"

namespace cnpd::store {
class RunDirectory;
}

namespace cnpd::training {

// What is trained. All randomness of a step must follow from the seed, the epoch and the batch's
// number, and all state that outlives a step must be in state(): a run that was killed and resumed
// then ends with the same bits as one that was not.
class TrainingTask {
  public:
    virtual ~TrainingTask() = default;

    // For the progress bar: "victim".
    virtual std::string label() const = 0;
    virtual std::int64_t epochs() const = 0;
    virtual std::int64_t batches() const = 0;  // in each epoch
    virtual std::int64_t batch_size() const = 0;
    virtual engine::Device device() const = 0;

    // One update; returns the loss, a scalar on the device that the next step may overwrite. It may
    // be running still. Epochs and batches count from 0.
    virtual engine::Tensor step(std::int64_t epoch, std::int64_t batch) = 0;
    // Adds what there is to say of a finished epoch ("lr", "acc", ...) to its line of metrics.
    virtual void end_epoch(std::int64_t epoch, double train_loss,
                           nlohmann::ordered_json& record) = 0;
    // Handles to everything that a checkpoint has to hold. Filling them restores the task.
    virtual std::vector<engine::nn::NamedTensor> state() = 0;
};

struct LoopOptions {
    bool resume = false;  // from the checkpoint, where there is one
    // Adds to a line of metrics what is measured of the model between epochs, after every
    // observe_every-th and after the last; 0: after the last alone. Not called if empty.
    std::function<void(nlohmann::ordered_json& record)> observe{};
    std::int64_t observe_every = 1;
    // Measures the model before the first epoch as well, in a line of epoch 0.
    bool observe_start = false;
    // What the run is (its configuration); a checkpoint of another run is refused with InputError.
    std::string identity;
};

// Throws InputError when the directory's checkpoint is not this run's. To be called before anything
// is written; nothing to do without a checkpoint, or when nothing is to be resumed.
void check_checkpoint(const store::RunDirectory& directory, const LoopOptions& options);

// Runs the task to its end and returns the seconds spent in it, earlier parts of a resumed run
// included. Throws NumericError when the loss is not finite, and Interrupted after Ctrl-C, when the
// checkpoint has been written.
double run_training(TrainingTask& task, store::RunDirectory& directory, const LoopOptions& options);

}  // namespace cnpd::training
