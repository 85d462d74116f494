#include "engine/autograd.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "engine/dispatch.h"
#include "engine/ops/check.h"
#include "kernels/elementwise/elementwise.h"

namespace cnpd::engine {
namespace {
thread_local bool recording = true;
std::atomic<std::uint64_t> next_sequence{1};
}  // namespace

bool gradients_enabled() {
    return recording;
}

NoGrad::NoGrad() : previous_(recording) {
    recording = false;
}
NoGrad::~NoGrad() {
    recording = previous_;
}

Node::~Node() {
    std::vector<std::shared_ptr<AutogradState>> pending = std::move(inputs);
    while (!pending.empty()) {
        const std::shared_ptr<AutogradState> state = std::move(pending.back());
        pending.pop_back();
        if (!state || state.use_count() > 1 || !state->producer || state->producer.use_count() > 1)
            continue;
        for (auto& input : state->producer->inputs) pending.push_back(std::move(input));
    }
}

bool should_record(std::initializer_list<const Tensor*> inputs) {
    return recording && std::any_of(inputs.begin(), inputs.end(), [](const Tensor* input) {
               return input && input->requires_grad();
           });
}

void record(const char* name, std::initializer_list<const Tensor*> inputs, Tensor& output,
            std::function<void(const Tensor&, GradientSink&)> backward) {
    auto node = std::make_shared<Node>();
    node->name = name;
    node->sequence = next_sequence++;
    for (const Tensor* input : inputs)
        node->inputs.push_back(input && input->requires_grad() ? input->autograd_state() : nullptr);
    node->backward = std::move(backward);
    auto state = std::make_shared<AutogradState>();
    state->requires_grad = true;
    state->producer = std::move(node);
    output.set_autograd_state(std::move(state));
}

namespace {
// sum += gradient. If another tensor shares the sum's data, that tensor does not change.
void accumulate(Tensor& sum, const Tensor& gradient) {
    CNPD_CHECK_SHAPE(sum.shape() == gradient.shape(), "gradients of different shapes");
    Tensor result = ops::over(sum);
    CNPD_RUN_AS(sum, add, sum.data<T>(), gradient.data<T>(), sum.elements(), result.data<T>());
    sum = std::move(result);
}
}  // namespace

void GradientSink::give(std::size_t input, Tensor gradient) {
    Slot& slot = slots_[input];
    if (!slot.wanted) return;
    if (slot.gradient->defined())
        accumulate(*slot.gradient, gradient);
    else
        *slot.gradient = std::move(gradient);
}

Tensor GradientSink::take(std::size_t input) {
    Slot& slot = slots_[input];
    return slot.wanted ? std::exchange(*slot.gradient, Tensor()) : Tensor();
}

// One traversal of the tape.
struct Backward {
    std::vector<std::shared_ptr<Node>> nodes;  // newest first
    std::unordered_map<const AutogradState*, Tensor> gradients;
    std::unordered_set<const AutogradState*> wanted;
    std::unordered_set<const AutogradState*> kept;  // their gradients are returned

    // Collects the nodes behind `roots`, newest first, and stores the roots' gradients.
    Backward(std::span<const Tensor> roots, std::span<const Tensor> of_roots) {
        CNPD_CHECK(roots.size() == of_roots.size(),
                   "gradients(): there must be one gradient for each output");
        std::unordered_set<const Node*> seen;
        std::vector<std::shared_ptr<Node>> stack;
        for (std::size_t i = 0; i < roots.size(); ++i) {
            CNPD_CHECK(roots[i].requires_grad() && roots[i].autograd_state()->producer,
                       "no gradient: the tensor is not on the tape");
            CNPD_CHECK_SHAPE(roots[i].shape() == of_roots[i].shape(),
                             "gradients(): an output and its gradient differ in shape");
            const auto& state = roots[i].autograd_state();
            CNPD_CHECK(gradients.emplace(state.get(), of_roots[i]).second,
                       "gradients(): an output is given twice");
            outputs_[state->producer.get()] = state.get();
            if (seen.insert(state->producer.get()).second) stack.push_back(state->producer);
        }
        while (!stack.empty()) {
            const std::shared_ptr<Node> node = std::move(stack.back());
            stack.pop_back();
            nodes.push_back(node);
            for (const auto& input : node->inputs)
                if (input && input->producer && seen.insert(input->producer.get()).second)
                    stack.push_back(input->producer);
        }
        std::sort(nodes.begin(), nodes.end(),
                  [](const auto& a, const auto& b) { return a->sequence > b->sequence; });
    }

    // Of a scalar.
    static Backward from(const Tensor& scalar) {
        CNPD_CHECK_SHAPE(scalar.elements() == 1,
                         "the gradient needs a scalar, not a tensor " + scalar.shape().str());
        const Tensor one = Tensor::full(scalar.shape(), 1.0f, scalar.device());
        return {std::span(&scalar, 1), std::span(&one, 1)};
    }

    void want_all_leaves() {
        for (const auto& node : nodes)
            for (const auto& input : node->inputs)
                if (input) wanted.insert(input.get());
    }

    // Marks the nodes on a path to one of `leaves`; oldest first, so one sweep is enough.
    void want_only(std::span<const Tensor> leaves) {
        for (const Tensor& leaf : leaves)
            if (leaf.autograd_state()) wanted.insert(leaf.autograd_state().get());
        kept = wanted;
        std::unordered_set<const Node*> useful;
        for (auto node = nodes.rbegin(); node != nodes.rend(); ++node)
            for (const auto& input : (*node)->inputs) {
                if (!input) continue;
                if (input->producer && useful.contains(input->producer.get()))
                    wanted.insert(input.get());
                if (wanted.contains(input.get())) useful.insert(node->get());
            }
    }

    // Runs every node that has received a gradient and frees it. Leaves' gradients stay in
    // `gradients`.
    void run() {
        for (const auto& node : nodes)
            for (const auto& input : node->inputs)
                if (input && input->producer) outputs_[input->producer.get()] = input.get();
        for (auto& node : nodes) {
            const auto output = outputs_.find(node.get());
            const auto found = gradients.find(output->second);
            if (found == gradients.end() || !found->second.defined()) continue;
            CNPD_CHECK(
                static_cast<bool>(node->backward),
                std::string("the tape of ") + node->name + " was already used by a backward pass");
            run_node(*node, kept.contains(output->second) ? found->second
                                                          : gradients.extract(found).mapped());
            node.reset();
        }
    }

  private:
    void run_node(Node& node, const Tensor& gradient) {
        GradientSink sink(node.inputs.size());
        bool any = false;
        for (std::size_t i = 0; i < node.inputs.size(); ++i) {
            if (!node.inputs[i] || !wanted.contains(node.inputs[i].get())) continue;
            sink.slots_[i] = {true, &gradients[node.inputs[i].get()]};
            any = true;
        }
        const auto function = std::exchange(node.backward, nullptr);
        if (any) function(gradient, sink);
    }

    std::unordered_map<const Node*, const AutogradState*> outputs_;
};

void backward(const Tensor& scalar) {
    const NoGrad no_grad;
    Backward walk = Backward::from(scalar);
    walk.want_all_leaves();
    // Handles of the leaves, made before run() frees the nodes that hold them.
    std::vector<std::shared_ptr<AutogradState>> leaves;
    for (const auto& node : walk.nodes)
        for (const auto& input : node->inputs)
            if (input && !input->producer) leaves.push_back(input);
    walk.run();
    for (const auto& leaf : leaves) {
        const auto found = walk.gradients.find(leaf.get());
        if (found == walk.gradients.end() || !found->second.defined()) continue;
        Tensor gradient = walk.gradients.extract(found).mapped();
        if (leaf->gradient)
            accumulate(*leaf->gradient, gradient);
        else
            leaf->gradient = std::make_shared<Tensor>(std::move(gradient));
    }
}

namespace {
std::vector<Tensor> gradients_of(Backward walk, std::span<const Tensor> inputs) {
    walk.want_only(inputs);
    walk.run();
    std::vector<Tensor> results;
    for (const Tensor& input : inputs) {
        const auto found = walk.gradients.find(input.autograd_state().get());
        results.push_back(found == walk.gradients.end() ? Tensor() : found->second);
    }
    return results;
}
}  // namespace

std::vector<Tensor> gradients(const Tensor& scalar, std::span<const Tensor> inputs) {
    const NoGrad no_grad;
    return gradients_of(Backward::from(scalar), inputs);
}

std::vector<Tensor> gradients(std::span<const Tensor> outputs,
                              std::span<const Tensor> output_gradients,
                              std::span<const Tensor> inputs) {
    const NoGrad no_grad;
    return gradients_of(Backward(outputs, output_gradients), inputs);
}

}  // namespace cnpd::engine
