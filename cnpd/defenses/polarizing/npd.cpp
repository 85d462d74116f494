// NPD, arXiv 2306.16697: one polarizer for all classes.
#include "cnpd/defenses/polarizing/polarizers/stacked.h"
#include "cnpd/defenses/polarizing/polarizing.h"
#include "cnpd/defenses/polarizing/structure.h"

namespace cnpd::defenses {
namespace {

class Npd : public Polarizing {
  protected:
    void own_fields(settings::Fields& f) override { structure_field(f, structure_); }
    void tune(bool many_classes) override {
        bilevel().adversary.strategy = training::Strategy::second;
        // A polarizer shared by all classes gets the mean gradient and needs larger steps than a
        // polarizer for each class, whose gradient is multiplied by the number of classes.
        if (many_classes) bilevel().learning_rate = 0.1;
    }
    void publish() override {
        bilevel().adversary.strategy = training::Strategy::second;
        bilevel().adversary.through = training::PgdThrough::composite;
    }
    std::unique_ptr<polarizers::Polarizer> make(const polarizers::PolarizerPlace& place,
                                                std::uint64_t) const override {
        return std::make_unique<polarizers::Npd>(place.channels, place.device, structure_);
    }

  private:
    polarizers::Structure structure_ = polarizers::Structure::conv_bn;
};

}  // namespace

std::unique_ptr<Defense> make_npd() {
    return std::make_unique<Npd>();
}

}  // namespace cnpd::defenses
