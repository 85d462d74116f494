// Polarizers made of Conv1x1 + BN: one for all classes (NPD, arXiv 2306.16697), or one for each,
// chosen by the victim's prediction (r-CNPD, arXiv 2502.18520).
#pragma once

#include <string>
#include <vector>

#include "cnpd/defenses/polarizing/polarizers/polarizer.h"

namespace cnpd::polarizers {

// Maps of the same shape in one tensor: BN_y(W_y z), or two in sequence. On disk each map has the
// names of PyTorch's layers, "conv.weight" [C,C,1,1], "bn.weight", ".bias", ".running_mean",
// ".running_var" (and "conv2", "bn2" of a second layer).
class StackedPolarizer : public Polarizer {
  public:
    void calibrate(const FeatureStatistics& statistics) override;
    void refresh() override;
    Tensor apply(const Tensor& z, const ops::Routes& routes) const override;
    Tensor infer(const Tensor& z, const ops::Routes& routes) const override;
    std::vector<engine::ParameterGroup> parameter_groups(double weight_decay) override;
    // Each map's gradient is multiplied by the number of maps (a map gets about 1/maps of a batch)
    // and clipped separately. A map without samples is not updated: no step, no decay, no momentum.
    void prepare_gradients(double clip_norm) override;

  protected:
    // `prefix` precedes the names on disk; "{}" is replaced by the map's number.
    StackedPolarizer(std::int64_t maps, std::int64_t channels, Structure structure,
                     const std::string& prefix, engine::Device device);

  private:
    struct Layer {
        ops::PolarizerParameters stacked;
        ops::AffineMaps maps;
    };
    // A trained tensor and its views, one for each map.
    struct Trained {
        Tensor whole;
        std::vector<Tensor> of_map;
    };

    ops::Routes routed(const ops::Routes& routes) const {
        return count_ == 1 ? ops::Routes() : routes;
    }

    std::int64_t count_;
    std::vector<Layer> layers_;
    std::vector<Trained> trained_;
    Tensor factors_;  // [maps], factor of each map's gradient; 0: no gradient
};

// g(z; y) = BN_y(W_y z). On disk a ModuleList of Sequentials: "polarizers.3.conv.weight".
class RCnpd : public StackedPolarizer {
  public:
    RCnpd(std::int64_t classes, std::int64_t channels, engine::Device device,
          Structure structure = Structure::conv_bn)
        : StackedPolarizer(classes, channels, structure, "polarizers.{}.", device) {}
    std::string_view name() const override { return "r-cnpd"; }
};

// g(z) = BN(W z) for all classes.
class Npd : public StackedPolarizer {
  public:
    Npd(std::int64_t channels, engine::Device device, Structure structure = Structure::conv_bn)
        : StackedPolarizer(1, channels, structure, "", device) {}
    std::string_view name() const override { return "npd"; }
};

}  // namespace cnpd::polarizers
