// Prints a ladder as a table.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "bench/ladder/ladder.h"

namespace cnpd::bench {

using Times = std::map<std::pair<std::string /*operation*/, std::string /*version*/>, double>;

// Traces each rung on the emulated GPU; `measured` are seconds on a real one.
void print(const Ladder& ladder, const Times& measured);

}  // namespace cnpd::bench
