// Optimizers and learning-rate schedules; formulas, names and defaults are PyTorch's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
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
    // One number for each parameter, on its device, or empty: a parameter whose number is 0 is not
    // updated, like one without a gradient. For decisions that are made on the device.
    std::vector<Tensor> active{};
};

// All parameters of all groups are on one device, as is the learning rate: a recorded step can be
// replayed.
class Optimizer {
  public:
    explicit Optimizer(std::vector<ParameterGroup> groups);
    virtual ~Optimizer() = default;
    Optimizer(const Optimizer&) = delete;
    Optimizer& operator=(const Optimizer&) = delete;

    // One update from the parameters' gradients. A parameter without a gradient is not changed: no
    // decay, no momentum.
    void step();
    void zero_grad();

    void set_learning_rate(double rate);
    double learning_rate() const { return learning_rate_; }

    // The complete state for resuming, under stable names. The tensors are handles: filling them
    // restores the optimizer.
    std::vector<nn::NamedTensor> state() const;

  protected:
    // A parameter that has a gradient.
    struct Item {
        std::size_t index;  // over all groups
        Tensor parameter, gradient;
        const float *learning_rate, *active;  // on the device; active may be null
        float weight_decay;
    };
    virtual void update(Device device, std::vector<Item>& items) = 0;
    // Zeros for every parameter, in the order of the groups; part of the state under this name.
    std::vector<Tensor> make_buffers(const std::string& name);
    // How often each parameter has been updated, int64 on the device; part of the state.
    Tensor make_update_counts();

  private:
    std::vector<ParameterGroup> groups_;
    std::vector<nn::NamedTensor> state_;
    std::size_t count_ = 0;  // parameters
    Device device_;
    double learning_rate_ = 0;
    Tensor learning_rates_;  // [groups]
};

struct SgdOptions {
    double momentum = 0.9;
    bool nesterov = false;
};

class Sgd : public Optimizer {
  public:
    Sgd(std::vector<ParameterGroup> groups, const SgdOptions& options);

  private:
    void update(Device device, std::vector<Item>& items) override;
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
    void update(Device device, std::vector<Item>& items) override;
    AdamOptions options_;
    std::vector<Tensor> first_, second_;
    Tensor updates_;
};

// Multiplies gradients [rows,...], at most 8 of them, by `factor` and clips the norm of each row,
// over all of them together, to `norm` (0: no clipping), in place. factors [rows] become what each
// row was multiplied by: 0 for a row of zeros, NaN if a gradient is not finite.
void clip_rows(std::span<Tensor> gradients, double factor, double norm, Tensor& factors);

}  // namespace cnpd::engine
