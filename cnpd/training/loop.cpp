#include "cnpd/training/loop.h"

#include <chrono>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/store/run_directory.h"
#include "cnpd/terminal/interrupt.h"
#include "cnpd/terminal/log.h"
#include "cnpd/terminal/progress.h"
#include "engine/checkpoint.h"
#include "engine/ops.h"
#include "engine/safetensors.h"
#include "kernels/common/error.h"

namespace cnpd::training {

using store::run_file;
using store::RunDirectory;
namespace run_files = store::run_files;

namespace {

using engine::DType;
using engine::Tensor;
using engine::nn::NamedTensor;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// Position of the loop, stored in tensors so that it is part of the checkpoint.
class Position {
  public:
    // Epoch and batch of the next step.
    std::int64_t& epoch() { return counters_.data<std::int64_t>()[0]; }
    std::int64_t& batch() { return counters_.data<std::int64_t>()[1]; }
    double& epoch_seconds() { return seconds_.data<double>()[0]; }
    double& total_seconds() { return seconds_.data<double>()[1]; }

    // Throws FileError unless the task can continue at this position.
    void check(const TrainingTask& task, const std::filesystem::path& checkpoint) {
        const bool running =
            epoch() >= 0 && epoch() < task.epochs() && batch() >= 0 && batch() <= task.batches();
        const bool finished = epoch() == task.epochs() && batch() == 0;
        if (!running && !finished)
            throw FileError(checkpoint.string(),
                            fmt::format("is at epoch {}, batch {}", epoch(), batch()),
                            fmt::format("at most {} epochs of {}", task.epochs(), task.batches()));
    }

    void append_to(std::vector<NamedTensor>& state) const {
        state.push_back({.name = "loop.counters", .tensor = counters_});
        state.push_back({.name = "loop.seconds", .tensor = seconds_});
    }

  private:
    Tensor counters_ = Tensor::zeros({2}, DType::int64);
    Tensor seconds_ = Tensor::zeros({2}, DType::float64);
};

// The sum of an epoch's losses, accumulated on the device. Reading it waits for running steps, so
// on a GPU it is read only at intervals.
class EpochLoss {
  public:
    explicit EpochLoss(engine::Device device)
        : sum_(Tensor::zeros({}, DType::float64, device)),
          waits_(device.backend != engine::Backend::cpu) {}

    void add(const Tensor& loss) { engine::ops::accumulate(loss, sum_); }
    void clear() { sum_.set_zero(); }
    double look() {
        last_look_ = now();
        return sum_.to_host<double>().front();
    }
    bool worth_a_look() const {
        constexpr double kBetweenLooks = 0.1;  // seconds
        return !waits_ || now() - last_look_ > kBetweenLooks;
    }

    void append_to(std::vector<NamedTensor>& state) const {
        state.push_back({.name = "loop.loss", .tensor = sum_});
    }

  private:
    Tensor sum_;
    bool waits_;
    double last_look_ = 0;
};

std::filesystem::path checkpoint_of(const RunDirectory& directory) {
    return run_file(directory.path(), run_files::checkpoint);
}

void check_identity(const std::map<std::string, std::string>& metadata,
                    const std::filesystem::path& checkpoint, const LoopOptions& options) {
    const auto identity = metadata.find("run");
    if (identity == metadata.end() || identity->second != options.identity)
        throw InputError(fmt::format(
            "{}: this checkpoint belongs to a run with other settings or images; resume it with "
            "the settings in its config.json and the same --data, or start again with --overwrite",
            checkpoint.string()));
}

class Loop {
  public:
    Loop(TrainingTask& task, RunDirectory& directory, const LoopOptions& options)
        : task_(task),
          directory_(directory),
          options_(options),
          loss_(task.device()),
          state_(task.state()) {
        position_.append_to(state_);
        loss_.append_to(state_);
    }

    double run() {
        restore();
        Progress progress(task_.label(), task_.epochs() * task_.batches() * task_.batch_size());
        progress.resume_at((position_.epoch() * task_.batches() + position_.batch()) *
                           task_.batch_size());
        while (position_.epoch() < task_.epochs()) run_epoch(progress);
        progress.finish();
        return position_.total_seconds();
    }

  private:
    // Continues from the checkpoint and removes later metrics; without a checkpoint, starts from
    // the beginning.
    void restore() {
        const std::filesystem::path checkpoint = checkpoint_of(directory_);
        if (!options_.resume || !std::filesystem::exists(checkpoint)) {
            directory_.truncate_metrics(-1);
            observe_start();
            return;
        }
        check_identity(engine::load_tensors(checkpoint, state_), checkpoint, options_);
        position_.check(task_, checkpoint);
        directory_.truncate_metrics(position_.epoch());
    }

    void observe_start() {
        if (!options_.observe || !options_.observe_start) return;
        nlohmann::ordered_json record{{"epoch", 0}};
        const double started = now();
        options_.observe(record);
        position_.total_seconds() += now() - started;
        directory_.append_metrics(record);
    }

    bool due(std::int64_t epoch) const {
        const bool last = epoch + 1 == task_.epochs();
        return last || (options_.observe_every > 0 && (epoch + 1) % options_.observe_every == 0);
    }

    void save() {
        engine::save_tensors(directory_.file(run_files::checkpoint), state_,
                             {{"run", options_.identity}});
    }

    void run_epoch(Progress& progress) {
        const std::int64_t epoch = position_.epoch();
        while (position_.batch() < task_.batches()) {
            const double started = now();
            loss_.add(task_.step(epoch, position_.batch()));
            ++position_.batch();
            if (loss_.worth_a_look() || position_.batch() == task_.batches())
                progress.note(fmt::format("epoch {}/{}  loss {:.4f}", epoch + 1, task_.epochs(),
                                          mean_loss()));
            position_.epoch_seconds() += now() - started;
            progress.advance(task_.batch_size());
            if (interrupted()) stop();
        }
        finish_epoch();
    }

    // Mean over the epoch's batches so far.
    double mean_loss() {
        const double sum = loss_.look();
        if (!std::isfinite(sum))
            throw NumericError(
                fmt::format("{}: the loss is {} in epoch {}; try a smaller learning rate",
                            task_.label(), sum, position_.epoch() + 1));
        return sum / static_cast<double>(position_.batch());
    }

    void stop() {
        save();
        throw Interrupted(
            fmt::format("{}: stopped in epoch {}; repeat the command with --resume to continue",
                        directory_.path().string(), position_.epoch() + 1));
    }

    void finish_epoch() {
        const double train_loss = mean_loss();
        nlohmann::ordered_json record;
        record["epoch"] = position_.epoch() + 1;
        record["train_loss"] = train_loss;
        record["seconds"] = position_.epoch_seconds();
        const double started = now();
        task_.end_epoch(position_.epoch(), train_loss, record);
        if (options_.observe && due(position_.epoch())) options_.observe(record);
        position_.total_seconds() += position_.epoch_seconds() + now() - started;
        ++position_.epoch();
        position_.batch() = 0;
        position_.epoch_seconds() = 0;
        loss_.clear();
        directory_.append_metrics(record);
        save();
        if (interrupted() && position_.epoch() < task_.epochs()) stop();
    }

    TrainingTask& task_;
    RunDirectory& directory_;
    LoopOptions options_;
    Position position_;
    EpochLoss loss_;
    std::vector<NamedTensor> state_;
};

}  // namespace

void check_checkpoint(const RunDirectory& directory, const LoopOptions& options) {
    const std::filesystem::path checkpoint = checkpoint_of(directory);
    if (options.resume && std::filesystem::exists(checkpoint))
        check_identity(engine::SafetensorsFile::read(checkpoint).metadata(), checkpoint, options);
}

double run_training(TrainingTask& task, RunDirectory& directory, const LoopOptions& options) {
    return Loop(task, directory, options).run();
}

}  // namespace cnpd::training
