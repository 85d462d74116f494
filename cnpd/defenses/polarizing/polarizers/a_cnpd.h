// a-CNPD: the classes share a few experts, and each class attends over them with its own query
// (CNPD, arXiv 2502.18520; formulas in kernels/router).
#pragma once

#include "cnpd/defenses/polarizing/polarizers/polarizer.h"
#include "cnpd/ops/router.h"

namespace cnpd::polarizers {

// g(z; y) = BN(W_y z), W_y = sum_m a_ym W_m, a_y = softmax_m(q_y . k_m / sqrt(width)). The experts
// start at the identity; queries and keys are drawn from N(0, 2^2), so that attention is peaked
// from the start: uniform attention would be one polarizer for all classes, and equal experts with
// equal attention would stay equal. On disk: "queries", "keys", "experts", "bn.*".
class ACnpd : public Polarizer {
  public:
    struct Settings {
        std::int64_t classes = 0, channels = 0, experts = 8, width = 16;
        std::uint64_t seed = 0;  // of queries and keys
    };
    ACnpd(const Settings& settings, engine::Device device);

    std::string_view name() const override { return "a-cnpd"; }
    void calibrate(const FeatureStatistics& statistics) override;
    void refresh() override;
    Tensor apply(const Tensor& z, const ops::Routes& routes) const override;
    // Queries and keys have ten times the learning rate and no weight decay.
    std::vector<engine::ParameterGroup> parameter_groups(double weight_decay) override;
    void prepare_gradients(double clip_norm) override;

    // [classes,experts], computed by the last refresh().
    const Tensor& attention() const { return attention_; }

  private:
    ops::RouterParameters router_;
    Tensor attention_;
    ClippedTogether trained_;
};

}  // namespace cnpd::polarizers
