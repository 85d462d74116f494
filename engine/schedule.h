// Learning-rate schedules that match torch.optim.lr_scheduler step by step.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace cnpd::engine {

// The learning rate of a step (or epoch), counted from 0. All schedules except the plateau schedule
// are functions of the step alone, so a resumed run needs only its step.
class Schedule {
  public:
    virtual ~Schedule() = default;
    virtual double learning_rate(std::int64_t step) const = 0;
    // Reports the metric of an epoch; only the plateau schedule uses it.
    virtual void observe(double /*metric*/) {}
    // State that a resumed run has to restore.
    virtual std::vector<double> state() const { return {}; }
    virtual void restore(const std::vector<double>& /*state*/) {}
};

std::unique_ptr<Schedule> constant_schedule(double rate);

// rate (1 + cos(pi step / total)) / 2
std::unique_ptr<Schedule> cosine_schedule(double rate, std::int64_t total_steps);

// One-cycle (Smith and Topin 2019), cosine annealing: from max / div_factor up to max during the
// first warm_up share of the steps, then down to max / div_factor / final_div_factor.
struct OneCycleOptions {
    double max_rate = 0.1;
    std::int64_t total_steps = 1;
    double warm_up = 0.3;
    double div_factor = 25, final_div_factor = 1e4;
};
std::unique_ptr<Schedule> one_cycle_schedule(const OneCycleOptions& options);

// rate gamma^(number of milestones <= step)
std::unique_ptr<Schedule> multi_step_schedule(double rate, std::vector<std::int64_t> milestones,
                                              double gamma = 0.1);

// Multiplies the rate by `factor` once the observed metric has not fallen below (1 - threshold)
// times its best for more than `patience` observations.
struct PlateauOptions {
    double rate = 0.1, factor = 0.1, threshold = 1e-4, min_rate = 0;
    std::int64_t patience = 10;
};
std::unique_ptr<Schedule> plateau_schedule(const PlateauOptions& options);

}  // namespace cnpd::engine
