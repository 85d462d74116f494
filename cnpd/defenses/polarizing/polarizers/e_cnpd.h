// e-CNPD: one polarizer for all classes, conditioned on a learned embedding of the class (CNPD,
// arXiv 2502.18520).
#pragma once

#include "cnpd/defenses/polarizing/polarizers/polarizer.h"
#include "cnpd/settings/names.h"

namespace cnpd::polarizers {

// Use of the embedding E_y of a class.
enum class Embedding {
    concat,  // BN(W [z ; E_y]), as published: for a 1x1 convolution a constant input is a bias
    film,    // (1 + S E_y) * BN(W z) + T E_y: also scales the channels
};

// E ~ N(0,1). The columns of W for it, S and T start at 0, so that the polarizer starts at the
// identity. On disk: "embedding.weight" [classes,width], "conv.weight" [C,C,1,1] and
// "conv_embedding.weight" [C,width], the columns after it, or "scale.weight" and "shift.weight"
// [C,width]; "bn.*".
class ECnpd : public Polarizer {
  public:
    struct Settings {
        std::int64_t classes = 0, channels = 0, width = 16;
        Embedding embedding = Embedding::concat;
        std::uint64_t seed = 0;  // of the embedding
    };
    ECnpd(const Settings& settings, engine::Device device);

    std::string_view name() const override { return "e-cnpd"; }
    void calibrate(const FeatureStatistics& statistics) override;
    void refresh() override;
    Tensor apply(const Tensor& z, const ops::Routes& routes) const override;
    // The embedding has ten times the learning rate and no weight decay.
    std::vector<engine::ParameterGroup> parameter_groups(double weight_decay) override;
    void prepare_gradients(double clip_norm) override;

  private:
    // matrix [C,width] times E: [classes,C], recorded.
    Tensor of_classes(const Tensor& matrix) const;

    Embedding kind_;
    Tensor embedding_;                       // [classes,width]
    Tensor weight_;                          // [1,C,C]
    Tensor concat_, scale_, shift_;          // [C,width], those of the chosen kind
    Tensor gamma_, beta_, mean_, variance_;  // [1,C]
    Tensor zeros_, ones_, identity_;         // [C], [classes,1], film: [classes,C,C]
    ops::PolarizerParameters of_class_;      // on the tape, if refresh() was recorded
    ClippedTogether trained_;
};

}  // namespace cnpd::polarizers

template <>
struct cnpd::settings::Names<cnpd::polarizers::Embedding> {
    using Value = polarizers::Embedding;
    static constexpr std::pair<Value, const char*> all[] = {{Value::concat, "concat"},
                                                            {Value::film, "film"}};
};
