#include "cnpd/polarizers/registry.h"

#include <algorithm>

#include <fmt/format.h>

#include "cnpd/polarizers/a_cnpd.h"
#include "cnpd/polarizers/stacked.h"
#include "kernels/common/error.h"

namespace cnpd::polarizers {
namespace {

using Settings = PolarizerSettings;
using Place = PolarizerPlace;

std::unique_ptr<Polarizer> make_npd(const Settings& s, const Place& place, std::uint64_t) {
    return std::make_unique<Npd>(place.channels, place.device, s.structure);
}

std::unique_ptr<Polarizer> make_r_cnpd(const Settings& s, const Place& place, std::uint64_t) {
    return std::make_unique<RCnpd>(place.classes, place.channels, place.device, s.structure);
}

std::unique_ptr<Polarizer> make_e_cnpd(const Settings& s, const Place& place, std::uint64_t seed) {
    return std::make_unique<ECnpd>(ECnpd::Settings{.classes = place.classes,
                                                   .channels = place.channels,
                                                   .width = s.embedding_width,
                                                   .embedding = s.embedding,
                                                   .seed = seed},
                                   place.device);
}

std::unique_ptr<Polarizer> make_a_cnpd(const Settings& s, const Place& place, std::uint64_t seed) {
    const std::int64_t experts = s.experts > 0 ? s.experts : (place.classes <= 10 ? 8 : 16);
    return std::make_unique<ACnpd>(ACnpd::Settings{.classes = place.classes,
                                                   .channels = place.channels,
                                                   .experts = experts,
                                                   .width = s.embedding_width,
                                                   .seed = seed},
                                   place.device);
}

struct Entry {
    PolarizerInfo info;
    bool has_structures;
    std::unique_ptr<Polarizer> (*make)(const Settings&, const Place&, std::uint64_t seed);
};

constexpr Entry kEntries[] = {
    {{"npd", "one polarizer for all classes"}, true, make_npd},
    {{"r-cnpd", "a polarizer for each class, chosen by the victim's prediction"},
     true,
     make_r_cnpd},
    {{"e-cnpd", "one polarizer that is told the class by a learned vector"}, false, make_e_cnpd},
    {{"a-cnpd", "classes attend over a few shared experts"}, false, make_a_cnpd},
};

}  // namespace

const std::vector<PolarizerInfo>& registry() {
    static const std::vector<PolarizerInfo> infos = [] {
        std::vector<PolarizerInfo> all;
        for (const Entry& entry : kEntries) all.push_back(entry.info);
        return all;
    }();
    return infos;
}

bool is_known(std::string_view name) {
    return std::any_of(std::begin(kEntries), std::end(kEntries),
                       [&](const Entry& entry) { return entry.info.name == name; });
}

std::unique_ptr<Polarizer> make_polarizer(const PolarizerSettings& settings,
                                          const PolarizerPlace& place, std::uint64_t seed) {
    std::string known;
    for (const Entry& entry : kEntries) {
        known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.info.name);
        if (entry.info.name != settings.name) continue;
        if (!entry.has_structures && settings.structure != Structure::conv_bn)
            throw InputError(fmt::format("{} has one structure, conv-bn", settings.name));
        return entry.make(settings, place, seed);
    }
    throw InputError(fmt::format("unknown polarizer '{}'; known: {}", settings.name, known));
}

}  // namespace cnpd::polarizers
