#include "cnpd/defenses/defense.h"

namespace cnpd::defenses {

// Each is defined in a file of its own.
std::unique_ptr<Defense> make_npd();
std::unique_ptr<Defense> make_r_cnpd();
std::unique_ptr<Defense> make_ensemble();
std::unique_ptr<Defense> make_e_cnpd();
std::unique_ptr<Defense> make_a_cnpd();
std::unique_ptr<Defense> make_fine_tuning();

const settings::Registry<Defense>& registry() {
    static const settings::Registry<Defense> known(
        "method",
        {{"r-cnpd", "a polarizer for each class, chosen by the victim's prediction", make_r_cnpd},
         {"ensemble", "r-cnpd's polarizers mixed with the victim's probabilities", make_ensemble},
         {"a-cnpd", "experts shared by all classes, mixed by attention", make_a_cnpd},
         {"e-cnpd", "one polarizer with a learned embedding of the class", make_e_cnpd},
         {"npd", "one polarizer for all classes (Zhu et al. 2023)", make_npd},
         {"ft", "fine-tuning of all weights, the baseline", make_fine_tuning, "fine-tuning"}});
    return known;
}

}  // namespace cnpd::defenses
