#include "engine/step_graph.h"

#include <algorithm>
#include <optional>

#ifdef CNPD_HAS_CUDA
#include "kernels/common/error.h"
#include "kernels/common/gpu.h"
#endif

namespace cnpd::engine {

// Members are destroyed from the last to the first: the graph before the memory that it refers to.
struct StepGraph::Recording {
    std::shared_ptr<MemoryPool> memory;
    std::vector<Tensor> inputs;  // what the graph reads; their shapes, until there is one
    Tensor result;
#ifdef CNPD_HAS_CUDA
    std::optional<kernels::gpu::Graph> graph;
#endif
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

#ifdef CNPD_HAS_CUDA

bool StepGraph::record() {
    Recording& made = *recording_;
    made.memory = make_memory_pool(made.inputs.front().device());
    const MemoryPoolScope scope(made.memory);
    try {
        made.graph = kernels::gpu::Graph::capture([&] { made.result = step_(made.inputs); });
        return true;
    } catch (const CudaError& error) {
        obstacle_ = error.what();
        records_ = false;
        return false;
    }
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

#else

bool StepGraph::record() {
    return false;
}

Tensor StepGraph::run(std::span<const Tensor> inputs) {
    return step_(inputs);
}

#endif

}  // namespace cnpd::engine
