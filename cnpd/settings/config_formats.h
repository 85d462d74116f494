// The two formats of settings; for config.cpp alone.
#pragma once

#include <string_view>
#include <vector>

#include "cnpd/settings/config_file.h"

namespace cnpd {

// Keys and tables as they stand in the file. Throw FileError.
std::vector<ConfigEntry> toml_entries(std::string_view text, std::string_view path);
std::vector<ConfigEntry> json_entries(std::string_view text, std::string_view path);

}  // namespace cnpd
