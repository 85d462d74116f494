// Reverse-mode automatic differentiation on a tape.
//
// While gradients are enabled, an operation with an input that requires a gradient appends a Node
// to the tape. backward() processes the tape from the newest node to the oldest. Each node computes
// only the gradients that are needed: frozen weights cost no weight gradients, and an image that
// requires a gradient gets one like any other leaf.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/tensor.h"

namespace cnpd::engine {

// Receives the gradients of a node's inputs from its backward function.
class GradientSink {
  public:
    explicit GradientSink(std::size_t inputs) : slots_(inputs) {}

    bool wants(std::size_t input) const { return slots_[input].wanted; }
    // Gives the gradient of an input; it is added to the gradient from other paths.
    void give(std::size_t input, Tensor gradient);
    // Takes the gradient that the input has from other paths so far, undefined if there is none.
    // The caller must include it in the gradient that it gives. A kernel can thus add the two
    // without a separate pass.
    Tensor take(std::size_t input);

  private:
    friend struct Backward;
    struct Slot {
        bool wanted = false;
        Tensor* gradient = nullptr;
    };
    std::vector<Slot> slots_;
};

// One recorded operation. It holds the autograd state of its inputs, not their data: only the
// captures of the backward function are kept alive, until it has run.
struct Node {
    const char* name = "";
    std::uint64_t sequence = 0;
    std::vector<std::shared_ptr<AutogradState>> inputs;  // null: not a variable
    std::function<void(const Tensor& gradient, GradientSink& sink)> backward;

    Node() = default;
    // Frees a long chain of nodes without recursion.
    ~Node();
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
};

// Whether operations are recorded on this thread.
bool gradients_enabled();

// Disables recording on this thread during its lifetime.
class NoGrad {
  public:
    NoGrad();
    ~NoGrad();
    NoGrad(const NoGrad&) = delete;
    NoGrad& operator=(const NoGrad&) = delete;

  private:
    bool previous_;
};

// Whether an operation on these inputs has to be recorded.
bool should_record(std::initializer_list<const Tensor*> inputs);

// Appends an operation to the tape and makes `output` its result. Backward functions must capture
// detached tensors.
void record(const char* name, std::initializer_list<const Tensor*> inputs, Tensor& output,
            std::function<void(const Tensor& gradient, GradientSink& sink)> backward);

// Adds the gradient of a scalar to grad() of every leaf that requires one, and frees the tape
// behind it. Throws Error if the tensor is not on the tape or its tape was already used.
void backward(const Tensor& scalar);

// The gradients of a scalar with respect to `inputs` (undefined for an input that it does not
// depend on). Other leaves get no gradient, and only nodes on a path to one of the inputs are
// processed.
std::vector<Tensor> gradients(const Tensor& scalar, std::span<const Tensor> inputs);

// The same for several outputs of any shape, with a given gradient for each of them: a
// vector-Jacobian product.
std::vector<Tensor> gradients(std::span<const Tensor> outputs,
                              std::span<const Tensor> output_gradients,
                              std::span<const Tensor> inputs);

}  // namespace cnpd::engine
