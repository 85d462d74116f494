// Class names: their order, and finding a class by name or number.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cnpd::datasets {

// Sorts class names numerically if all are decimal numbers (0, 1, 2, 10; leading zeros are
// ignored), otherwise in byte order.
void sort_class_names(std::vector<std::string>& names);

// The index of a class. A decimal number without leading zeros is always an index, even if class
// names are numbers; anything else is a name, which has to match exactly. Throws InputError for a
// number out of range and for an unknown name; the message lists similar names.
std::int32_t class_index(std::span<const std::string> class_names, std::string_view name_or_number);

}  // namespace cnpd::datasets
