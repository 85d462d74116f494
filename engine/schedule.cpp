#include "engine/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace cnpd::engine {
namespace {

// From `start` to `end` along half a cosine, t in [0,1].
double cosine_between(double start, double end, double t) {
    return end + (start - end) / 2 * (1 + std::cos(std::numbers::pi * t));
}

class Constant : public Schedule {
  public:
    explicit Constant(double rate) : rate_(rate) {}
    double learning_rate(std::int64_t) const override { return rate_; }

  private:
    double rate_;
};

class Cosine : public Schedule {
  public:
    Cosine(double rate, std::int64_t total) : rate_(rate), total_(total) {}
    double learning_rate(std::int64_t step) const override {
        return cosine_between(rate_, 0, static_cast<double>(step) / static_cast<double>(total_));
    }

  private:
    double rate_;
    std::int64_t total_;
};

class OneCycle : public Schedule {
  public:
    explicit OneCycle(const OneCycleOptions& options) : o_(options) {}
    double learning_rate(std::int64_t step) const override {
        const double peak = o_.warm_up * static_cast<double>(o_.total_steps) - 1;
        const double last = static_cast<double>(o_.total_steps) - 1;
        const double now = static_cast<double>(step), initial = o_.max_rate / o_.div_factor;
        if (now <= peak) return cosine_between(initial, o_.max_rate, peak > 0 ? now / peak : 1);
        return cosine_between(o_.max_rate, initial / o_.final_div_factor,
                              std::min((now - peak) / std::max(last - peak, 1.0), 1.0));
    }

  private:
    OneCycleOptions o_;
};

class MultiStep : public Schedule {
  public:
    MultiStep(double rate, std::vector<std::int64_t> milestones, double gamma)
        : rate_(rate), milestones_(std::move(milestones)), gamma_(gamma) {}
    double learning_rate(std::int64_t step) const override {
        const auto passed = std::count_if(milestones_.begin(), milestones_.end(),
                                          [&](std::int64_t m) { return m <= step; });
        return rate_ * std::pow(gamma_, static_cast<double>(passed));
    }

  private:
    double rate_;
    std::vector<std::int64_t> milestones_;
    double gamma_;
};

class Plateau : public Schedule {
  public:
    explicit Plateau(const PlateauOptions& options) : o_(options), rate_(options.rate) {}
    double learning_rate(std::int64_t) const override { return rate_; }

    void observe(double metric) override {
        if (metric < best_ * (1 - o_.threshold)) {
            best_ = metric;
            bad_ = 0;
        } else if (++bad_ > o_.patience) {
            rate_ = std::max(rate_ * o_.factor, o_.min_rate);
            bad_ = 0;
        }
    }
    std::vector<double> state() const override { return {rate_, best_, static_cast<double>(bad_)}; }
    void restore(const std::vector<double>& state) override {
        if (state.size() != 3) return;
        rate_ = state[0];
        best_ = state[1];
        bad_ = static_cast<std::int64_t>(state[2]);
    }

  private:
    PlateauOptions o_;
    double rate_, best_ = std::numeric_limits<double>::infinity();
    std::int64_t bad_ = 0;
};

}  // namespace

std::unique_ptr<Schedule> constant_schedule(double rate) {
    return std::make_unique<Constant>(rate);
}
std::unique_ptr<Schedule> cosine_schedule(double rate, std::int64_t total_steps) {
    return std::make_unique<Cosine>(rate, std::max<std::int64_t>(total_steps, 1));
}
std::unique_ptr<Schedule> one_cycle_schedule(const OneCycleOptions& options) {
    return std::make_unique<OneCycle>(options);
}
std::unique_ptr<Schedule> multi_step_schedule(double rate, std::vector<std::int64_t> milestones,
                                              double gamma) {
    return std::make_unique<MultiStep>(rate, std::move(milestones), gamma);
}
std::unique_ptr<Schedule> plateau_schedule(const PlateauOptions& options) {
    return std::make_unique<Plateau>(options);
}

}  // namespace cnpd::engine
