// The two formats of settings; internal to config_file.cpp.
#pragma once

#include <string_view>
#include <vector>

#include "cnpd/settings/config_file.h"

namespace cnpd {

// Keys and tables as written in the file. Throw FileError.
std::vector<ConfigEntry> toml_entries(std::string_view text, std::string_view path);
std::vector<ConfigEntry> json_entries(std::string_view text, std::string_view path);

}  // namespace cnpd
