// Optimizers and learning-rate schedules; formulas, names and defaults are PyTorch's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace cnpd::engine {

// Parameters that share settings.
struct ParameterGroup {
    std::vector<Tensor> parameters;
    double learning_rate_factor = 1;  // times the optimizer's learning rate
    double weight_decay = 0;
};

class Optimizer {
  public:
    explicit Optimizer(std::vector<ParameterGroup> groups) : groups_(std::move(groups)) {}
    virtual ~Optimizer() = default;
    Optimizer(const Optimizer&) = delete;
    Optimizer& operator=(const Optimizer&) = delete;

    // One update from the parameters' gradients. A parameter without a gradient is left alone: no
    // decay, no momentum.
    void step();
    void zero_grad();

    void set_learning_rate(double rate) { learning_rate_ = rate; }
    double learning_rate() const { return learning_rate_; }

    // Everything that a resumed run needs, under stable names; the tensors are handles.
    struct NamedState {
        std::string name;
        Tensor tensor;
    };
    virtual std::vector<NamedState> state() = 0;
    // How often each parameter has been updated, in the order of the groups; part of the state.
    std::vector<std::int64_t>& updates() { return updates_; }

  protected:
    virtual void update(std::size_t index, const ParameterGroup& group, Tensor& parameter,
                        const Tensor& gradient) = 0;
    std::size_t parameter_count() const;
    double rate_of(const ParameterGroup& group) const {
        return learning_rate_ * group.learning_rate_factor;
    }

    std::vector<ParameterGroup> groups_;
    std::vector<std::int64_t> updates_;
    double learning_rate_ = 0;
};

struct SgdOptions {
    double momentum = 0.9;
    bool nesterov = false;
};

class Sgd : public Optimizer {
  public:
    Sgd(std::vector<ParameterGroup> groups, const SgdOptions& options);
    std::vector<NamedState> state() override;

  private:
    void update(std::size_t index, const ParameterGroup& group, Tensor& parameter,
                const Tensor& gradient) override;
    SgdOptions options_;
    std::vector<Tensor> velocity_;
};

struct AdamOptions {
    double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};

class Adam : public Optimizer {
  public:
    Adam(std::vector<ParameterGroup> groups, const AdamOptions& options);
    std::vector<NamedState> state() override;

  private:
    void update(std::size_t index, const ParameterGroup& group, Tensor& parameter,
                const Tensor& gradient) override;
    AdamOptions options_;
    std::vector<Tensor> first_, second_;
};

}  // namespace cnpd::engine
