// Names of enumeration values in options and files.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cnpd/settings/suggest.h"

namespace cnpd::settings {

// To be specialised for each enumeration, with a list `all` of pairs of value and name. A value's
// first name is used for output; further names are accepted as input.
template <class Enum>
struct Names;

template <class Enum>
std::vector<std::string> names_of() {
    std::vector<std::string> names;
    for (const auto& [value, name] : Names<Enum>::all) names.emplace_back(name);
    return names;
}

// Throws InputError for an unknown name; the message contains `what` and the known names.
template <class Enum>
Enum value_named(std::string_view what, std::string_view name) {
    for (const auto& [value, its_name] : Names<Enum>::all)
        if (name == its_name) return value;
    throw_unknown(what, name, names_of<Enum>());
}

template <class Enum>
const char* name_of(Enum value) {
    for (const auto& [known, name] : Names<Enum>::all)
        if (known == value) return name;
    return "";
}

}  // namespace cnpd::settings
