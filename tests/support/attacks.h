// Makes attacks from their names and options, ready to stamp.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cnpd/attacks/attack.h"
#include "kernels/common/error.h"

namespace cnpd::tests {

using Options = std::vector<std::pair<std::string, std::string>>;

inline std::unique_ptr<attacks::Attack> make_attack(std::string_view name, const Options& options,
                                                    const attacks::AttackedData& data) {
    auto attack = attacks::registry().make(name);
    settings::Fields fields = settings::fields_of(*attack);
    for (const auto& [option, text] : options) {
        settings::Field* field = fields.find(option);
        if (!field) throw InputError("no option --" + option);
        field->set(text, field->option());
    }
    attack->prepare(data);
    return attack;
}

// Stamps one image.
inline std::vector<std::uint8_t> stamped(const attacks::Attack& attack,
                                         std::vector<std::uint8_t> image) {
    const std::int32_t first[] = {0};
    attack.stamp({.pixels = image.data(), .indices = first});
    return image;
}

}  // namespace cnpd::tests
