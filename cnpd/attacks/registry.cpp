#include "cnpd/attacks/attack.h"

// One line per attack: X(name, description).
#define CNPD_ATTACKS(X)                                                   \
    X(none, "no backdoor, for a benign model")                            \
    X(badnets, "white patch in the lower right corner (Gu et al. 2017)")  \
    X(blended, "pattern blended over the whole image (Chen et al. 2017)") \
    X(sig, "horizontal sinusoid on images of the target class (Barni et al. 2019)")

namespace cnpd::attacks {

#define CNPD_DECLARE(name, description) std::unique_ptr<Attack> make_##name();
CNPD_ATTACKS(CNPD_DECLARE)
#undef CNPD_DECLARE

const settings::Registry<Attack>& registry() {
#define CNPD_ENTRY(name, description) {#name, description, make_##name},
    static const settings::Registry<Attack> known("attack", {CNPD_ATTACKS(CNPD_ENTRY)});
#undef CNPD_ENTRY
    return known;
}

}  // namespace cnpd::attacks
