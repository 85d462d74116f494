// "Did you mean ...?", for every name that the program looks up.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cnpd::settings {

// The known name that is closest to what was written: at most a third of its letters are wrong,
// missing, too many or swapped, or it begins so. Empty if none is.
std::string nearest(std::string_view written, std::span<const std::string> known);

// "; did you mean 'badnets'?", or nothing.
std::string did_you_mean(std::string_view written, std::span<const std::string> known);

// Throws InputError: unknown attack 'badnet'; did you mean 'badnets'? Known: none, badnets, ...
[[noreturn]] void throw_unknown(std::string_view what, std::string_view written,
                                std::span<const std::string> known);

}  // namespace cnpd::settings
