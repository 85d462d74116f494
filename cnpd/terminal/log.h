// What the program tells its user, on stderr and in whole lines.
#pragma once

#include <string_view>

namespace cnpd {

// quiet: warnings only, no progress.
enum class Verbosity { quiet, normal };

void set_verbosity(Verbosity verbosity);
Verbosity verbosity();

// Safe from any thread; a progress line stays below.
void log_info(std::string_view message);
void log_warning(std::string_view message);

}  // namespace cnpd
