// Steps of a training loop, recorded once as a CUDA graph and then replayed as a whole: hundreds of
// launches for the price of one.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace cnpd::engine {

// A step that is a function of its inputs and of tensors that outlive the StepGraph (parameters,
// momentum, sums), which it may change. For inputs of new shapes it runs as it is written, which
// also lets libraries choose their algorithms; with the same shapes once more it is recorded, and
// from then on replayed. On the CPU it always runs as it is written.
//
// A recorded step must not depend on values that the host sees: no copies to or from the host, and
// no numbers but those that are the same in every step; the others, such as the learning rate, have
// to be in tensors.
//
// Where recording fails (something cannot be part of a graph, or device memory runs out) the step
// runs as it is written, a notice (kernels/common/notice.h) says why, and the next step tries
// again; after kMostFailures it runs as it is written for good. So a step must begin with the
// gradients that it adds to cleared: an attempt may end anywhere.
class StepGraph {
  public:
    using Step = std::function<Tensor(std::span<const Tensor> inputs)>;

    static constexpr int kMostFailures = 3;

    explicit StepGraph(Step step);
    ~StepGraph();
    StepGraph(const StepGraph&) = delete;
    StepGraph& operator=(const StepGraph&) = delete;

    // step(inputs). The result of a replay is overwritten by the next one.
    Tensor run(std::span<const Tensor> inputs);

    // Never record: for profilers, debuggers and comparisons.
    void run_as_written() { records_ = false; }
    std::int64_t replays() const { return replays_; }
    // Why the step could not be recorded last; empty if it could, or was not tried.
    const std::string& obstacle() const { return obstacle_; }

  private:
    struct Recording;

    bool fits(std::span<const Tensor> inputs) const;
    bool record();
    void give_up(const std::string& why);

    Step step_;
    std::unique_ptr<Recording> recording_;  // of the last inputs' shapes
    bool records_ = true;
    int failures_ = 0;
    std::int64_t replays_ = 0;
    std::string obstacle_;
};

}  // namespace cnpd::engine
