// Reverse-mode automatic differentiation on a tape.
//
// While gradients are enabled, an operation with an input that requires a gradient appends a Node
// to the tape. backward() walks the tape from the newest node to the oldest and asks each one for
// the gradients of those inputs that somebody wants, and of no others: a frozen weight never costs
// a weight gradient, and an image that requires a gradient gets one like any other leaf.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/tensor.h"

namespace cnpd::engine {

// Where a node's backward function puts the gradients of its inputs.
class GradientSink {
  public:
    explicit GradientSink(std::size_t inputs) : slots_(inputs) {}

    bool wants(std::size_t input) const { return slots_[input].wanted; }
    // Gives the gradient of an input; adds it to what has reached the input along other paths.
    void give(std::size_t input, Tensor gradient);
    // What has reached the input along other paths so far, undefined if nothing. A kernel that
    // takes it must include it in what it gives: a kernel can so add on the fly what would need a
    // pass of its own.
    Tensor take(std::size_t input);

  private:
    friend struct Backward;
    struct Slot {
        bool wanted = false;
        Tensor* gradient = nullptr;
    };
    std::vector<Slot> slots_;
};

// One recorded operation. It holds the autograd state of its inputs, not their data: only what the
// backward function captured is kept alive, and that only until it has run.
struct Node {
    const char* name = "";
    std::uint64_t sequence = 0;
    std::vector<std::shared_ptr<AutogradState>> inputs;  // null: not a variable
    std::function<void(const Tensor& gradient, GradientSink& sink)> backward;

    Node() = default;
    // Frees a long chain of nodes without recursing along it.
    ~Node();
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
};

// Whether operations are recorded on this thread.
bool gradients_enabled();

// Turns recording off on this thread for its lifetime.
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

// Adds the gradient of a scalar to grad() of every leaf that requires one. The tape behind it is
// freed. Throws Error when the tensor is not on the tape or was walked already.
void backward(const Tensor& scalar);

// The gradients of a scalar with respect to `inputs` alone (undefined where it does not depend on
// one): no other leaf gets a gradient and no node is visited that does not lead to one of them.
std::vector<Tensor> gradients(const Tensor& scalar, std::span<const Tensor> inputs);

// The same for several outputs of any shape, given the gradient of something with respect to each
// of them: a product of that vector and the Jacobian.
std::vector<Tensor> gradients(std::span<const Tensor> outputs,
                              std::span<const Tensor> output_gradients,
                              std::span<const Tensor> inputs);

}  // namespace cnpd::engine
