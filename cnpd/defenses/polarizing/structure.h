// The setting of polarizers with a choice of layers.
#pragma once

#include "cnpd/defenses/polarizing/polarizers/polarizer.h"
#include "cnpd/settings/fields.h"

namespace cnpd::defenses {

inline void structure_field(settings::Fields& f, polarizers::Structure& structure) {
    f.add("structure", structure, "Layers of the polarizer; omitted layers are the identity");
}

}  // namespace cnpd::defenses
