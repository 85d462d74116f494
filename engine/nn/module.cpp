#include "engine/nn/module.h"

namespace cnpd::engine::nn {

std::vector<NamedTensor> Module::state() const {
    std::vector<NamedTensor> all;
    collect(&Module::own_, "", all);
    return all;
}

std::vector<NamedTensor> Module::training_state() const {
    std::vector<NamedTensor> all;
    collect(&Module::own_training_state_, "", all);
    return all;
}

void Module::collect(Tensors Module::*own, const std::string& prefix, Tensors& into) const {
    for (const NamedTensor& each : this->*own) {
        into.push_back(each);
        into.back().name = prefix + each.name;
    }
    for (const auto& [name, child] : children_) child->collect(own, prefix + name + ".", into);
}

std::vector<Tensor> Module::parameters() const {
    std::vector<Tensor> parameters;
    for (const NamedTensor& entry : state())
        if (entry.trainable) parameters.push_back(entry.tensor);
    return parameters;
}

std::int64_t Module::parameter_count() const {
    std::int64_t count = 0;
    for (const Tensor& parameter : parameters()) count += parameter.elements();
    return count;
}

void Module::train(bool training) {
    training_ = training;
    for (const auto& [name, child] : children_) child->train(training);
}

void Module::set_requires_grad(bool required) {
    for (Tensor parameter : parameters()) parameter.set_requires_grad(required);
}

void Module::zero_grad() {
    for (Tensor parameter : parameters()) parameter.zero_grad();
}

Tensor Module::register_parameter(std::string name, Tensor tensor, DiskLayout layout) {
    tensor.set_requires_grad();
    own_.push_back({std::move(name), tensor, layout, true});
    return tensor;
}

Tensor Module::register_buffer(std::string name, Tensor tensor) {
    own_.push_back({std::move(name), tensor, DiskLayout::same, false});
    return tensor;
}

Tensor Module::register_training_state(std::string name, Tensor tensor) {
    own_training_state_.push_back({std::move(name), tensor, DiskLayout::same, false});
    return tensor;
}

void Module::register_module(std::string name, Module& child) {
    children_.emplace_back(std::move(name), &child);
}

}  // namespace cnpd::engine::nn
