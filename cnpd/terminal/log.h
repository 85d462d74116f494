// Messages to the user on stderr, in whole lines.
#pragma once

#include <string_view>

namespace cnpd {

// quiet: warnings only, no progress.
enum class Verbosity { quiet, normal };

void set_verbosity(Verbosity verbosity);
Verbosity verbosity();

// Thread-safe; a progress line stays below the message.
void log_info(std::string_view message);
void log_warning(std::string_view message);

}  // namespace cnpd
