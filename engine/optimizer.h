// Optimizers and learning-rate schedules; formulas, names and defaults are PyTorch's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/nn/module.h"
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
    explicit Optimizer(std::vector<ParameterGroup> groups);
    virtual ~Optimizer() = default;
    Optimizer(const Optimizer&) = delete;
    Optimizer& operator=(const Optimizer&) = delete;

    // One update from the parameters' gradients. A parameter without a gradient is left alone: no
    // decay, no momentum.
    void step();
    void zero_grad();

    void set_learning_rate(double rate) { learning_rate_ = rate; }
    double learning_rate() const { return learning_rate_; }

    // Everything that a resumed run needs, under stable names. The tensors are handles: filling
    // them restores the optimizer.
    std::vector<nn::NamedTensor> state() const;

  protected:
    virtual void update(std::size_t index, const ParameterGroup& group, Tensor& parameter,
                        const Tensor& gradient) = 0;
    // Zeros beside every parameter, in the order of the groups; part of the state under this name.
    std::vector<Tensor> make_buffers(const std::string& name);
    double rate_of(const ParameterGroup& group) const {
        return learning_rate_ * group.learning_rate_factor;
    }

    // How often a parameter has been updated, the current time included.
    std::int64_t updates(std::size_t index) const;

  private:
    std::vector<ParameterGroup> groups_;
    std::vector<nn::NamedTensor> state_;
    Tensor updates_;  // int64, on the host
    double learning_rate_ = 0;
};

struct SgdOptions {
    double momentum = 0.9;
    bool nesterov = false;
};

class Sgd : public Optimizer {
  public:
    Sgd(std::vector<ParameterGroup> groups, const SgdOptions& options);

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

  private:
    void update(std::size_t index, const ParameterGroup& group, Tensor& parameter,
                const Tensor& gradient) override;
    AdamOptions options_;
    std::vector<Tensor> first_, second_;
};

}  // namespace cnpd::engine
