#include "engine/optimizer.h"

#include <fmt/format.h>

#include "engine/dispatch.h"
#include "kernels/optimizer/optimizer.h"

namespace cnpd::engine {
namespace {

// A buffer of zeros beside every parameter.
std::vector<Tensor> zeros_beside(const std::vector<ParameterGroup>& groups) {
    std::vector<Tensor> buffers;
    for (const ParameterGroup& group : groups)
        for (const Tensor& parameter : group.parameters)
            buffers.push_back(Tensor::zeros(parameter.shape(), DType::float32, parameter.device()));
    return buffers;
}

void append_named(std::vector<Optimizer::NamedState>& into, const char* name,
                  const std::vector<Tensor>& buffers) {
    for (std::size_t i = 0; i < buffers.size(); ++i)
        into.push_back({fmt::format("{}.{:04}", name, i), buffers[i]});
}

}  // namespace

std::size_t Optimizer::parameter_count() const {
    std::size_t count = 0;
    for (const ParameterGroup& group : groups_) count += group.parameters.size();
    return count;
}

void Optimizer::step() {
    std::size_t index = 0;
    for (ParameterGroup& group : groups_)
        for (Tensor& parameter : group.parameters) {
            const Tensor gradient = parameter.grad();
            if (gradient.defined()) {
                ++updates_[index];
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
    : Optimizer(std::move(groups)), options_(options), velocity_(zeros_beside(groups_)) {
    updates_.resize(parameter_count());
}

void Sgd::update(std::size_t index, const ParameterGroup& group, Tensor& parameter,
                 const Tensor& gradient) {
    const kernels::SgdSettings settings{.learning_rate = static_cast<float>(rate_of(group)),
                                        .momentum = static_cast<float>(options_.momentum),
                                        .weight_decay = static_cast<float>(group.weight_decay),
                                        .nesterov = options_.nesterov,
                                        .first_step = updates_[index] == 1};
    CNPD_RUN(parameter.device(), sgd_step, settings, gradient.data<float>(), parameter.elements(),
             parameter.data<float>(), velocity_[index].data<float>());
}

std::vector<Optimizer::NamedState> Sgd::state() {
    std::vector<NamedState> all;
    append_named(all, "velocity", velocity_);
    return all;
}

Adam::Adam(std::vector<ParameterGroup> groups, const AdamOptions& options)
    : Optimizer(std::move(groups)),
      options_(options),
      first_(zeros_beside(groups_)),
      second_(zeros_beside(groups_)) {
    updates_.resize(parameter_count());
}

void Adam::update(std::size_t index, const ParameterGroup& group, Tensor& parameter,
                  const Tensor& gradient) {
    const kernels::AdamSettings settings{.learning_rate = static_cast<float>(rate_of(group)),
                                         .beta1 = static_cast<float>(options_.beta1),
                                         .beta2 = static_cast<float>(options_.beta2),
                                         .eps = static_cast<float>(options_.eps),
                                         .weight_decay = static_cast<float>(group.weight_decay),
                                         .step = updates_[index]};
    CNPD_RUN(parameter.device(), adam_step, settings, gradient.data<float>(), parameter.elements(),
             parameter.data<float>(), first_[index].data<float>(), second_[index].data<float>());
}

std::vector<Optimizer::NamedState> Adam::state() {
    std::vector<NamedState> all;
    append_named(all, "first_moment", first_);
    append_named(all, "second_moment", second_);
    return all;
}

}  // namespace cnpd::engine
