#include <cmath>

#include <fmt/format.h>

#include "cnpd/attacks/attack.h"
#include "kernels/common/error.h"

// One line for each attack: X(name, description).
#define CNPD_ATTACKS(X)                                                   \
    X(none, "no backdoor, for a benign model")                            \
    X(badnets, "white patch in the lower right corner (Gu et al. 2017)")  \
    X(blended, "pattern blended over the whole image (Chen et al. 2017)") \
    X(sig, "horizontal sinusoid on the target's own images (Barni et al. 2019)")

namespace cnpd::attacks {

#define CNPD_DECLARE(name, description) \
    std::unique_ptr<Attack> make_##name(const AttackOptions& options, const AttackedData& data);
CNPD_ATTACKS(CNPD_DECLARE)
#undef CNPD_DECLARE

namespace {

struct Entry {
    AttackInfo info;
    std::unique_ptr<Attack> (*make)(const AttackOptions&, const AttackedData&);
};

#define CNPD_ENTRY(name, description) {{#name, description}, make_##name},
const Entry kAttacks[] = {CNPD_ATTACKS(CNPD_ENTRY)};
#undef CNPD_ENTRY

// What concerns every attack; an attack's own options are checked by its make function.
void check(const AttackOptions& options, const AttackedData& data) {
    CNPD_CHECK(data.h > 0 && data.w > 0 && data.c > 0 && data.classes > 0,
               "an attack needs images and classes");
    if (options.target < 0 || options.target >= data.classes)
        throw InputError(
            fmt::format("target class {} is not one of 0 to {}", options.target, data.classes - 1));
    if (!(options.poison_ratio >= 0 && options.poison_ratio <= 1))
        throw InputError(
            fmt::format("poison ratio {} is not between 0 and 1", options.poison_ratio));
    if (options.mode == LabelMode::all_to_all && data.classes < 2)
        throw InputError("an all-to-all attack needs at least two classes");
}

}  // namespace

std::vector<AttackInfo> registry() {
    std::vector<AttackInfo> infos;
    for (const Entry& entry : kAttacks) infos.push_back(entry.info);
    return infos;
}

std::vector<std::string_view> attack_names() {
    std::vector<std::string_view> names;
    for (const Entry& entry : kAttacks) names.push_back(entry.info.name);
    return names;
}

std::unique_ptr<Attack> make_attack(std::string_view name, const AttackOptions& options,
                                    const AttackedData& data) {
    for (const Entry& entry : kAttacks) {
        if (entry.info.name != name) continue;
        check(options, data);
        auto attack = entry.make(options, data);
        if (attack->clean_label() && options.mode == LabelMode::all_to_all)
            throw InputError(
                fmt::format("{} leaves labels as they are and so has no all-to-all form", name));
        return attack;
    }
    throw InputError(
        fmt::format("unknown attack '{}'; known: {}", name, fmt::join(attack_names(), ", ")));
}

}  // namespace cnpd::attacks
