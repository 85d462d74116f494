#include "cnpd/defenses/registry.h"

#include <string>

#include <fmt/format.h>

#include "cnpd/defenses/fine_tuning.h"
#include "cnpd/defenses/polarizing.h"
#include "cnpd/polarizers/registry.h"
#include "kernels/common/error.h"

namespace cnpd::defenses {
namespace {

using Make = std::unique_ptr<Defense> (*)(training::DefenseSettings& settings,
                                          const models::Classifier& victim,
                                          const training::InputInfo& input, engine::Device device);

struct Entry {
    DefenseInfo info;
    Make make;
};

const std::vector<Entry>& entries() {
    static const std::vector<Entry> all = [] {
        std::vector<Entry> known;
        for (const auto& [name, description] : polarizers::registry())
            known.push_back(
                {{.name = name, .description = description, .polarizer = name}, make_polarizing});
        known.push_back({{.name = "ensemble",
                          .description = "r-cnpd's polarizers mixed with the victim's "
                                         "probabilities",
                          .polarizer = "r-cnpd",
                          .routing = polarizers::Routing::ensemble},
                         make_polarizing});
        known.push_back({{.name = "ft", .description = "fine-tuning of all weights, the baseline"},
                         make_fine_tuning});
        return known;
    }();
    return all;
}

const Entry& entry_of(std::string_view name) {
    std::string known;
    for (const Entry& entry : entries()) {
        if (entry.info.name == name) return entry;
        known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.info.name);
    }
    throw InputError(fmt::format("unknown method '{}'; known: {}", name, known));
}

}  // namespace

std::vector<DefenseInfo> registry() {
    std::vector<DefenseInfo> infos;
    for (const Entry& entry : entries()) infos.push_back(entry.info);
    return infos;
}

DefenseInfo info_of(std::string_view name) {
    return entry_of(name).info;
}

std::unique_ptr<Defense> make_defense(training::DefenseSettings& settings,
                                      const models::Classifier& victim,
                                      const training::InputInfo& input, engine::Device device) {
    return entry_of(settings.method).make(settings, victim, input, device);
}

}  // namespace cnpd::defenses
