// e-CNPD, arXiv 2502.18520: one polarizer with a learned embedding of the class.
#include "cnpd/defenses/polarizing/polarizers/e_cnpd.h"

#include "cnpd/defenses/polarizing/polarizing.h"

namespace cnpd::defenses {
namespace {

class ECnpd : public Polarizing {
  protected:
    void own_fields(settings::Fields& f) override {
        f.add("embedding", embedding_,
              "Use of a class's embedding: concat (additional input channels of the convolution) "
              "or film (scale and shift of the channels)");
        f.add("embedding_width", width_, "Width of the embedding").range(1, 4096);
    }
    void tune(bool many_classes) override {
        bilevel().epochs = 30;
        bilevel().learning_rate = many_classes ? 0.1 : 0.03;
        bilevel().clip_norm = 3;
    }
    std::unique_ptr<polarizers::Polarizer> make(const polarizers::PolarizerPlace& place,
                                                std::uint64_t seed) const override {
        return std::make_unique<polarizers::ECnpd>(
            polarizers::ECnpd::Settings{.classes = place.classes,
                                        .channels = place.channels,
                                        .width = width_,
                                        .embedding = embedding_,
                                        .seed = seed},
            place.device);
    }

  private:
    polarizers::Embedding embedding_ = polarizers::Embedding::concat;
    std::int64_t width_ = 16;
};

}  // namespace

std::unique_ptr<Defense> make_e_cnpd() {
    return std::make_unique<ECnpd>();
}

}  // namespace cnpd::defenses
