#include "cnpd/defenses/polarizing/r_cnpd.h"

#include "cnpd/defenses/polarizing/polarizers/stacked.h"
#include "cnpd/defenses/polarizing/structure.h"

namespace cnpd::defenses {

void RCnpd::own_fields(settings::Fields& f) {
    structure_field(f, structure_);
}

void RCnpd::tune(bool many_classes) {
    if (!many_classes) return;
    bilevel().learning_rate = 0.03;
    bilevel().weights = {.clean = 1, .undo = 0.02f, .strongest = 0.02f, .target = 0.1f};
}

std::unique_ptr<polarizers::Polarizer> RCnpd::make(const polarizers::PolarizerPlace& place,
                                                   std::uint64_t) const {
    return std::make_unique<polarizers::RCnpd>(place.classes, place.channels, place.device,
                                               structure_);
}

std::unique_ptr<Defense> make_r_cnpd() {
    return std::make_unique<RCnpd>();
}

}  // namespace cnpd::defenses
