#include "engine/step_graph.h"

#include <algorithm>
#include <new>
#include <optional>

#include <fmt/format.h>

#include "kernels/common/error.h"
#include "kernels/common/gpu.h"
#include "kernels/common/notice.h"

namespace cnpd::engine {

// Members are destroyed from last to first: the graph before the memory that it refers to.
struct StepGraph::Recording {
    std::shared_ptr<MemoryPool> memory;
    std::vector<Tensor> inputs;  // inputs of the graph; before recording only their shapes count
    Tensor result;
    std::optional<kernels::gpu::Graph> graph;
};

StepGraph::StepGraph(Step step) : step_(std::move(step)) {}
StepGraph::~StepGraph() = default;

bool StepGraph::fits(std::span<const Tensor> inputs) const {
    return recording_ && std::equal(inputs.begin(), inputs.end(), recording_->inputs.begin(),
                                    recording_->inputs.end(), [](const Tensor& a, const Tensor& b) {
                                        return a.shape() == b.shape() && a.dtype() == b.dtype() &&
                                               a.device() == b.device();
                                    });
}

bool StepGraph::record() {
    Recording& made = *recording_;
    const Device device = made.inputs.front().device();
    // The graph allocates from its own pool, which cannot reuse the shared pool's buffers.
    empty_cache(device);
    made.memory = make_memory_pool(device);
    try {
        const MemoryPoolScope scope(made.memory);
        made.graph = kernels::gpu::Graph::capture([&] { made.result = step_(made.inputs); });
        obstacle_.clear();
        return true;
    } catch (const CudaError& error) {
        give_up(error.what());
    } catch (const std::bad_alloc&) {
        give_up("out of device memory");
    }
    return false;
}

void StepGraph::give_up(const std::string& why) {
    recording_->result = {};
    recording_->memory.reset();
    obstacle_ = why;
    ++failures_;
    if (failures_ == kMostFailures) records_ = false;
    notice(
        fmt::format("a training step could not be recorded as a CUDA graph ({}); its kernels are "
                    "launched one by one{}",
                    why, records_ ? ", and the next step tries again" : " from now on"));
}

Tensor StepGraph::run(std::span<const Tensor> inputs) {
    if (!records_ || inputs.empty() || inputs.front().device().backend == Backend::cpu)
        return step_(inputs);
    if (!fits(inputs)) {
        recording_ = std::make_unique<Recording>();
        for (const Tensor& input : inputs) recording_->inputs.push_back(input.clone());
        return step_(inputs);
    }
    if (!recording_->graph && !record()) return step_(inputs);
    for (std::size_t i = 0; i < inputs.size(); ++i) recording_->inputs[i].copy_from(inputs[i]);
    recording_->graph->launch();
    ++replays_;
    return recording_->result;
}

}  // namespace cnpd::engine
