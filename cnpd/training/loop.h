// The training loop: epochs of batches, a line of metrics and a checkpoint after each epoch,
// resuming, and Ctrl-C.
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

// A task for the training loop. All randomness of a step must depend only on the seed, the epoch
// and the batch's number, and all state that outlives a step must be in state(). An interrupted and
// resumed run then gives the same bits as an uninterrupted one.
class TrainingTask {
  public:
    virtual ~TrainingTask() = default;

    // For the progress bar: "victim".
    virtual std::string label() const = 0;
    virtual std::int64_t epochs() const = 0;
    virtual std::int64_t batches() const = 0;  // in each epoch
    virtual std::int64_t batch_size() const = 0;
    virtual engine::Device device() const = 0;

    // One update. Returns the loss, a scalar on the device that the next step may overwrite and
    // that may not have been computed yet. Epochs and batches count from 0.
    virtual engine::Tensor step(std::int64_t epoch, std::int64_t batch) = 0;
    // Adds values of a finished epoch ("lr", "acc", ...) to its line of metrics.
    virtual void end_epoch(std::int64_t epoch, double train_loss,
                           nlohmann::ordered_json& record) = 0;
    // Handles to all tensors of a checkpoint. Overwriting them restores the task.
    virtual std::vector<engine::nn::NamedTensor> state() = 0;
};

struct LoopOptions {
    bool resume = false;  // from the checkpoint, if there is one
    // Adds measurements of the model to a line of metrics, after every observe_every-th epoch and
    // after the last; 0: only after the last. Not called if empty.
    std::function<void(nlohmann::ordered_json& record)> observe{};
    std::int64_t observe_every = 1;
    // Also measure the model before the first epoch, in a line for epoch 0.
    bool observe_start = false;
    // The run's configuration; a checkpoint with another identity is refused with InputError.
    std::string identity;
};

// Throws InputError if the directory's checkpoint belongs to another run. Call before anything is
// written. Does nothing without a checkpoint or without `resume`.
void check_checkpoint(const store::RunDirectory& directory, const LoopOptions& options);

// Runs the task to its end and returns the seconds spent in it, including earlier parts of a
// resumed run. Throws NumericError if the loss is not finite, and Interrupted after Ctrl-C, once
// the checkpoint has been written.
double run_training(TrainingTask& task, store::RunDirectory& directory, const LoopOptions& options);

}  // namespace cnpd::training
