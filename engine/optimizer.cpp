#include "engine/optimizer.h"

#include <fmt/format.h>

#include "engine/dispatch.h"
#include "kernels/optimizer/optimizer.h"

namespace cnpd::engine {

Optimizer::Optimizer(std::vector<ParameterGroup> groups) : groups_(std::move(groups)) {
    std::int64_t count = 0;
    for (const ParameterGroup& group : groups_)
        count += static_cast<std::int64_t>(group.parameters.size());
    updates_ = Tensor::zeros({count}, DType::int64);
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

std::vector<nn::NamedTensor> Optimizer::state() const {
    std::vector<nn::NamedTensor> all = state_;
    all.push_back({.name = "updates", .tensor = updates_});
    return all;
}

std::int64_t Optimizer::updates(std::size_t index) const {
    return updates_.data<std::int64_t>()[index];
}

void Optimizer::step() {
    std::size_t index = 0;
    for (ParameterGroup& group : groups_)
        for (Tensor& parameter : group.parameters) {
            const Tensor gradient = parameter.grad();
            if (gradient.defined()) {
                ++updates_.data<std::int64_t>()[index];
                update(index, group, parameter, gradient);
            }
            ++index;
        }
}

void Optimizer::zero_grad() {
    for (ParameterGroup& group : groups_)
        for (Tensor& parameter : group.parameters) parameter.zero_grad();
}

Sgd::Sgd(std::vector<ParameterGroup> groups, const SgdOptions& options)
    : Optimizer(std::move(groups)), options_(options), velocity_(make_buffers("velocity")) {}

void Sgd::update(std::size_t index, const ParameterGroup& group, Tensor& parameter,
                 const Tensor& gradient) {
    const kernels::SgdSettings settings{.learning_rate = static_cast<float>(rate_of(group)),
                                        .momentum = static_cast<float>(options_.momentum),
                                        .weight_decay = static_cast<float>(group.weight_decay),
                                        .nesterov = options_.nesterov,
                                        .first_step = updates(index) == 1};
    CNPD_RUN(parameter.device(), sgd_step, settings, gradient.data<float>(), parameter.elements(),
             parameter.data<float>(), velocity_[index].data<float>());
}

Adam::Adam(std::vector<ParameterGroup> groups, const AdamOptions& options)
    : Optimizer(std::move(groups)),
      options_(options),
      first_(make_buffers("first_moment")),
      second_(make_buffers("second_moment")) {}

void Adam::update(std::size_t index, const ParameterGroup& group, Tensor& parameter,
                  const Tensor& gradient) {
    const kernels::AdamSettings settings{.learning_rate = static_cast<float>(rate_of(group)),
                                         .beta1 = static_cast<float>(options_.beta1),
                                         .beta2 = static_cast<float>(options_.beta2),
                                         .eps = static_cast<float>(options_.eps),
                                         .weight_decay = static_cast<float>(group.weight_decay),
                                         .step = updates(index)};
    CNPD_RUN(parameter.device(), adam_step, settings, gradient.data<float>(), parameter.elements(),
             parameter.data<float>(), first_[index].data<float>(), second_[index].data<float>());
}

}  // namespace cnpd::engine
