// r-CNPD, arXiv 2502.18520: a polarizer for each class, chosen by the victim's prediction.
#pragma once

#include "cnpd/defenses/polarizing/polarizing.h"

namespace cnpd::defenses {

class RCnpd : public Polarizing {
  protected:
    void own_fields(settings::Fields& f) override;
    void tune(bool many_classes) override;
    std::unique_ptr<polarizers::Polarizer> make(const polarizers::PolarizerPlace& place,
                                                std::uint64_t seed) const override;

  private:
    polarizers::Structure structure_ = polarizers::Structure::conv_bn;
};

}  // namespace cnpd::defenses
