// The setting of polarizers that may be made of other layers than Conv1x1 + BN.
#pragma once

#include "cnpd/defenses/polarizing/polarizers/polarizer.h"
#include "cnpd/settings/fields.h"

namespace cnpd::defenses {

inline void structure_field(settings::Fields& f, polarizers::Structure& structure) {
    f.add("structure", structure, "Layers of the polarizer; one that is left out is the identity");
}

}  // namespace cnpd::defenses
