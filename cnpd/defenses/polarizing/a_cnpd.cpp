// a-CNPD, arXiv 2502.18520: experts shared by all classes, mixed by attention.
#include "cnpd/defenses/polarizing/polarizers/a_cnpd.h"

#include "cnpd/defenses/polarizing/polarizing.h"

namespace cnpd::defenses {
namespace {

class ACnpd : public Polarizing {
  protected:
    void own_fields(settings::Fields& f) override {
        f.add("experts", experts_, "Number of experts shared by the classes")
            .otherwise("8 for up to 10 classes, else 16")
            .range(0, 4096);
        f.add("embedding_width", width_, "Width of queries and keys").range(1, 4096);
    }
    void tune(bool many_classes) override {
        bilevel().epochs = 30;
        bilevel().learning_rate = many_classes ? 0.5 : 0.03;
        bilevel().clip_norm = 3;
    }
    std::unique_ptr<polarizers::Polarizer> make(const polarizers::PolarizerPlace& place,
                                                std::uint64_t seed) const override {
        const std::int64_t experts = experts_ > 0 ? experts_ : (place.classes <= 10 ? 8 : 16);
        return std::make_unique<polarizers::ACnpd>(
            polarizers::ACnpd::Settings{.classes = place.classes,
                                        .channels = place.channels,
                                        .experts = experts,
                                        .width = width_,
                                        .seed = seed},
            place.device);
    }

  private:
    std::int64_t experts_ = 0, width_ = 16;
};

}  // namespace

std::unique_ptr<Defense> make_a_cnpd() {
    return std::make_unique<ACnpd>();
}

}  // namespace cnpd::defenses
