#include "engine/optimizer.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/dispatch.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/optimizer/optimizer.h"

namespace cnpd::engine {

Optimizer::Optimizer(std::vector<ParameterGroup> groups) : groups_(std::move(groups)) {
    for (const ParameterGroup& group : groups_) {
        CNPD_CHECK_SHAPE(group.active.empty() || group.active.size() == group.parameters.size(),
                         "optimizer: `active` needs one number for each parameter");
        for (const Tensor& parameter : group.parameters) {
            if (count_++ == 0) device_ = parameter.device();
            CNPD_CHECK_SHAPE(parameter.device() == device_, "parameters on several devices");
        }
    }
    learning_rates_ =
        Tensor::zeros({static_cast<std::int64_t>(groups_.size())}, DType::float32, device_);
}

std::vector<Tensor> Optimizer::make_buffers(const std::string& name) {
    std::vector<Tensor> buffers;
    for (const ParameterGroup& group : groups_)
        for (const Tensor& parameter : group.parameters) {
            state_.push_back(
                {.name = fmt::format("{}.{:04}", name, buffers.size()),
                 .tensor = Tensor::zeros(parameter.shape(), DType::float32, parameter.device())});
            buffers.push_back(state_.back().tensor);
        }
    return buffers;
}

Tensor Optimizer::make_update_counts() {
    state_.push_back(
        {.name = "updates",
         .tensor = Tensor::zeros({static_cast<std::int64_t>(count_)}, DType::int64, device_)});
    return state_.back().tensor;
}

std::vector<nn::NamedTensor> Optimizer::state() const {
    return state_;
}

void Optimizer::set_learning_rate(double rate) {
    if (rate == learning_rate_) return;
    learning_rate_ = rate;
    // A kernel argument instead of a copy, so that the host does not wait.
    for (std::size_t g = 0; g < groups_.size(); ++g)
        CNPD_RUN(device_, fill, learning_rates_.data<float>() + g, 1,
                 static_cast<float>(rate * groups_[g].learning_rate_factor));
}

void Optimizer::step() {
    std::vector<Item> items;
    std::size_t index = 0;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
        const ParameterGroup& group = groups_[g];
        for (std::size_t i = 0; i < group.parameters.size(); ++i, ++index) {
            const Tensor gradient = group.parameters[i].grad();
            if (!gradient.defined()) continue;
            items.push_back(
                {.index = index,
                 .parameter = group.parameters[i],
                 .gradient = gradient,
                 .learning_rate = learning_rates_.data<float>() + g,
                 .active = group.active.empty() ? nullptr : group.active[i].data<float>(),
                 .weight_decay = static_cast<float>(group.weight_decay)});
        }
    }
    if (!items.empty()) update(device_, items);
}

void Optimizer::zero_grad() {
    for (ParameterGroup& group : groups_)
        for (Tensor& parameter : group.parameters) parameter.zero_grad();
}

Sgd::Sgd(std::vector<ParameterGroup> groups, const SgdOptions& options)
    : Optimizer(std::move(groups)), options_(options), velocity_(make_buffers("velocity")) {}

void Sgd::update(Device device, std::vector<Item>& items) {
    const kernels::SgdSettings settings{.momentum = static_cast<float>(options_.momentum),
                                        .nesterov = options_.nesterov};
    std::vector<kernels::SgdBuffer> buffers;
    for (Item& item : items)
        buffers.push_back({.gradient = item.gradient.data<float>(),
                           .parameter = item.parameter.data<float>(),
                           .velocity = velocity_[item.index].data<float>(),
                           .count = item.parameter.elements(),
                           .learning_rate = item.learning_rate,
                           .active = item.active,
                           .weight_decay = item.weight_decay});
    CNPD_RUN(device, sgd_step, settings, buffers.data(), static_cast<std::int64_t>(buffers.size()));
}

Adam::Adam(std::vector<ParameterGroup> groups, const AdamOptions& options)
    : Optimizer(std::move(groups)),
      options_(options),
      first_(make_buffers("first_moment")),
      second_(make_buffers("second_moment")),
      updates_(make_update_counts()) {}

void Adam::update(Device device, std::vector<Item>& items) {
    const kernels::AdamSettings settings{
        .beta1 = options_.beta1, .beta2 = options_.beta2, .eps = static_cast<float>(options_.eps)};
    std::vector<kernels::AdamBuffer> buffers;
    for (Item& item : items)
        buffers.push_back({.gradient = item.gradient.data<float>(),
                           .parameter = item.parameter.data<float>(),
                           .first_moment = first_[item.index].data<float>(),
                           .second_moment = second_[item.index].data<float>(),
                           .count = item.parameter.elements(),
                           .learning_rate = item.learning_rate,
                           .active = item.active,
                           .updates = updates_.data<std::int64_t>() + item.index,
                           .weight_decay = item.weight_decay});
    CNPD_RUN(device, adam_step, settings, buffers.data(),
             static_cast<std::int64_t>(buffers.size()));
}

void clip_rows(std::span<Tensor> gradients, double factor, double norm, Tensor& factors) {
    const std::int64_t rows = factors.elements();
    std::vector<kernels::RowsBuffer> buffers;
    for (Tensor& gradient : gradients) {
        CNPD_CHECK_SHAPE(gradient.shape().rank() >= 1 && gradient.shape()[0] == rows &&
                             gradient.device() == factors.device(),
                         "clip_rows: gradients differ in their number of rows or device");
        buffers.push_back({.gradient = gradient.data<float>(),
                           .values = gradient.elements() / std::max<std::int64_t>(rows, 1)});
    }
    CNPD_CHECK_SHAPE(buffers.size() <= 8, "clip_rows: too many gradients");
    CNPD_RUN(factors.device(), clip_rows,
             (kernels::RowClipping{.rows = rows, .factor = factor, .norm = norm}), buffers.data(),
             static_cast<std::int64_t>(buffers.size()), factors.data<float>());
}

}  // namespace cnpd::engine
