// Steps of a training loop, recorded once as a CUDA graph and then replayed: one launch instead of
// hundreds.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace cnpd::engine {

// A step is a function of its inputs and of tensors that outlive the StepGraph (parameters,
// momentum, sums), which it may change. For inputs of new shapes it runs directly, so that
// libraries can choose their algorithms; the second time with the same shapes it is recorded, and
// from then on replayed. On the CPU it always runs directly.
//
// A recorded step must not depend on values that the host reads: no copies to or from the host, and
// only numbers that are the same in every step. Other numbers, such as the learning rate, have to
// be in tensors.
//
// If recording fails (an operation cannot be part of a graph, or device memory runs out) the step
// runs directly, a notice (kernels/common/notice.h) gives the reason, and the next step tries
// again; after kMostFailures it always runs directly. Because an attempt may end at any point, a
// step must begin by clearing the gradients that it adds to.
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

    // Disables recording: for profilers, debuggers and comparisons.
    void run_as_written() { records_ = false; }
    std::int64_t replays() const { return replays_; }
    // Why the last attempt to record failed; empty if it did not, or if there was none.
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
