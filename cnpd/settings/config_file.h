// Settings from a TOML or JSON file, under the same names as on the command line.
//
//     poison-ratio = 0.1          # for every subcommand that has --poison-ratio
//     [defend]
//     epochs = 30                 # for `cnpd defend` alone
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cnpd {

struct ConfigEntry {
    // The name of the long option: lower case words joined by hyphens.
    std::string key;
    // Texts as on the command line; several for an array. Booleans are "true" and "false".
    std::vector<std::string> values;
    // The subcommand that the entry is for; empty for all.
    std::string table;
    // In the file, from 1.
    int line = 0;
};

enum class ConfigFormat { toml, json };

struct Config {
    std::string path;
    std::vector<ConfigEntry> entries;

    // The subcommand's own entries, and the entries for all subcommands that they do not override.
    std::vector<ConfigEntry> entries_for(std::string_view subcommand) const;
};

// Reads a file whose name ends in .toml or .json. The caller checks that keys and tables exist.
// Throws FileError if the file cannot be read or is not a flat list of settings and tables of
// settings: strings, finite numbers, booleans and arrays of these. (TOML's dates, inline tables,
// strings of several lines and numbers of other bases are refused.)
Config read_config(const std::filesystem::path& path);

// The same for text; `path` is used in messages.
Config parse_config(std::string_view text, ConfigFormat format, std::string_view path);

}  // namespace cnpd
