// "Did you mean ...?" for misspelt names.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cnpd::settings {

// The closest known name: at most a third of the letters are wrong, missing, extra or swapped, or
// one of the two is a prefix of the other. Empty if there is none.
std::string nearest(std::string_view written, std::span<const std::string> known);

// "; did you mean 'badnets'?", or empty.
std::string did_you_mean(std::string_view written, std::span<const std::string> known);

// Throws InputError: unknown attack 'badnet'; did you mean 'badnets'? Known: none, badnets, ...
[[noreturn]] void throw_unknown(std::string_view what, std::string_view written,
                                std::span<const std::string> known);

}  // namespace cnpd::settings
