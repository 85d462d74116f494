// r-CNPD: one polarizer for each class, chosen by the victim's own prediction (CNPD, arXiv
// 2502.18520).
#pragma once

#include "cnpd/polarizers/polarizer.h"

namespace cnpd::polarizers {

// g(z; y) = BN_y(W_y z). On disk each class's polarizer has the names of a PyTorch
// Sequential(Conv2d 1x1, BatchNorm2d) in a ModuleList: "polarizers.3.conv.weight" [C,C,1,1],
// "polarizers.3.bn.weight", ".bias", ".running_mean", ".running_var".
class RCnpd : public Polarizer {
  public:
    RCnpd(std::int64_t classes, std::int64_t channels, engine::Device device);

    // Starts at the exact identity with batch norm calibrated to the features of each class: W = I,
    // running mean = mu_y, running variance = v_y = sigma_y^2 + 1e-4, gamma = sqrt(v_y + eps), beta
    // = mu_y.
    void calibrate(const FeatureStatistics& statistics);

    std::string_view name() const override { return "r-cnpd"; }
    void refresh() override;
    Tensor apply(const Tensor& z, const Tensor& labels) const override;
    std::vector<engine::ParameterGroup> parameter_groups(double weight_decay) override;
    // Each class's gradient is multiplied by the number of classes (it sees about 1/classes of a
    // batch) and clipped on its own. A class without samples gets no gradient: no step, no decay,
    // no momentum.
    void prepare_gradients(double clip_norm) override;

  private:
    // The parameters of one class: views of the stacked tensors.
    struct OfClass {
        Tensor weight, gamma, beta;
    };
    ops::PolarizerParameters stacked_;
    std::vector<OfClass> of_class_;
    Tensor factors_;  // [classes], what each class's gradient was multiplied by; 0: it has none
};

}  // namespace cnpd::polarizers
