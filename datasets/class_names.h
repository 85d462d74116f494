// The names of classes: their order, and finding a class by name or number.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cnpd::datasets {

// The order of class folders: by number where all names are decimal numbers (0, 1, 2, 10; leading
// zeros do not count), in byte order otherwise.
void sort_class_names(std::vector<std::string>& names);

// The index of a class. A decimal number without leading zeros is always an index, also where
// classes are called by numbers; anything else is a name, which has to match exactly. Throws
// InputError for a number out of range and for an unknown name; the message lists close names.
std::int32_t class_index(std::span<const std::string> class_names, std::string_view name_or_number);

}  // namespace cnpd::datasets
