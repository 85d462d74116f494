// Modules: trees of named parameters and buffers, with PyTorch's names.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tensor.h"

namespace cnpd::engine::nn {

// The order of a tensor's axes on disk, where PyTorch's layouts are used.
enum class DiskLayout {
    same,              // vectors, and [out,in] matrices
    filter,            // [K,R,S,C] here, [K,C,R,S] on disk
    flattened_filter,  // [K,R,S,C] here, [K,C*R*S] on disk: a linear layer after an image
};

struct NamedTensor {
    std::string name;  // "layer1.0.bn1.weight"
    Tensor tensor;
    DiskLayout layout = DiskLayout::same;
    bool trainable = true;  // a parameter; else a buffer
};

// Owns parameters and buffers and refers to its children. Neither copied nor moved, because parents
// hold pointers to their children.
class Module {
  public:
    Module() = default;
    virtual ~Module() = default;
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;

    // All parameters and buffers of the module and its children, in order of registration.
    std::vector<NamedTensor> state() const;
    // Further training state that PyTorch's state dicts do not have, such as the state of dropout's
    // draws: training checkpoints contain it, model files do not.
    std::vector<NamedTensor> training_state() const;
    // The parameters only, as handles: changing their data changes the module.
    std::vector<Tensor> parameters() const;
    std::int64_t parameter_count() const;

    // Whether batch norm uses batch statistics and dropout drops elements; applies to children too.
    void train(bool training = true);
    void eval() { train(false); }
    bool training() const { return training_; }

    // Whether the parameters require gradients. Frozen modules compute no weight gradients.
    void set_requires_grad(bool required);
    void zero_grad();

  protected:
    Tensor register_parameter(std::string name, Tensor tensor,
                              DiskLayout layout = DiskLayout::same);
    Tensor register_buffer(std::string name, Tensor tensor);
    Tensor register_training_state(std::string name, Tensor tensor);
    void register_module(std::string name, Module& child);

  private:
    using Tensors = std::vector<NamedTensor>;
    void collect(Tensors Module::*own, const std::string& prefix, Tensors& into) const;

    Tensors own_, own_training_state_;
    std::vector<std::pair<std::string, Module*>> children_;
    bool training_ = true;
};

}  // namespace cnpd::engine::nn
