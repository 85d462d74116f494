#include "cnpd/settings/config_file.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "cnpd/settings/config_formats.h"
#include "engine/files.h"
#include "engine/utf8.h"
#include "kernels/common/error.h"

namespace cnpd {

namespace {

constexpr std::int64_t kMaxBytes = 1 << 20;

// poison_ratio -> poison-ratio. Throws FileError if the key cannot be the name of an option.
std::string option_name(const std::string& key, int line, std::string_view path) {
    constexpr std::size_t kLongest = 64;
    const auto alphanumeric = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    const bool valid = !key.empty() && key.size() <= kLongest && alphanumeric(key.front()) &&
                       std::all_of(key.begin(), key.end(),
                                   [&](char c) { return alphanumeric(c) || c == '-' || c == '_'; });
    if (!valid)
        throw FileError(path, fmt::format("line {}: key {}", line, engine::in_quotes(key)),
                        "the name of an option without its dashes");
    std::string name = key;
    std::replace(name.begin(), name.end(), '_', '-');
    return name;
}

// Throws FileError if a table has a setting twice, in either spelling.
void refuse_duplicates(const Config& config) {
    std::vector<const ConfigEntry*> sorted;
    for (const ConfigEntry& entry : config.entries) sorted.push_back(&entry);
    const auto name_less = [](const ConfigEntry* a, const ConfigEntry* b) {
        return std::tie(a->table, a->key) < std::tie(b->table, b->key);
    };
    std::stable_sort(sorted.begin(), sorted.end(), name_less);
    const auto twice = std::adjacent_find(
        sorted.begin(), sorted.end(),
        [&](const ConfigEntry* a, const ConfigEntry* b) { return !name_less(a, b); });
    if (twice == sorted.end()) return;
    const ConfigEntry& first = **twice;
    const ConfigEntry& second = **(twice + 1);
    throw FileError(config.path,
                    fmt::format("line {}: {} again, after line {}", second.line,
                                engine::in_quotes(second.key), first.line),
                    "each setting once");
}

}  // namespace

std::vector<ConfigEntry> Config::entries_for(std::string_view subcommand) const {
    std::vector<ConfigEntry> result;
    for (const ConfigEntry& entry : entries)
        if (entry.table == subcommand) result.push_back(entry);
    const std::size_t own = result.size();
    for (const ConfigEntry& entry : entries) {
        if (!entry.table.empty() || subcommand.empty()) continue;
        const bool overridden =
            std::any_of(result.begin(), result.begin() + own,
                        [&](const ConfigEntry& other) { return other.key == entry.key; });
        if (!overridden) result.push_back(entry);
    }
    return result;
}

Config read_config(const std::filesystem::path& path) {
    const std::string extension = path.extension().string();
    if (extension != ".toml" && extension != ".json")
        throw FileError(path.string(), "has the extension " + engine::in_quotes(extension),
                        ".toml or .json");
    return parse_config(engine::read_text_file(path, kMaxBytes),
                        extension == ".toml" ? ConfigFormat::toml : ConfigFormat::json,
                        path.string());
}

Config parse_config(std::string_view text, ConfigFormat format, std::string_view path) {
    if (static_cast<std::int64_t>(text.size()) > kMaxBytes)
        throw FileError(path, fmt::format("holds {} bytes", text.size()),
                        fmt::format("at most {}", kMaxBytes));
    if (!engine::is_utf8(text)) throw FileError(path, "is not UTF-8", "text");
    Config config{.path = std::string(path),
                  .entries = format == ConfigFormat::toml ? toml_entries(text, path)
                                                          : json_entries(text, path)};
    for (ConfigEntry& entry : config.entries) {
        entry.key = option_name(entry.key, entry.line, path);
        if (!entry.table.empty()) entry.table = option_name(entry.table, entry.line, path);
        // A zero byte would end a path early.
        for (const std::string& value : entry.values)
            if (value.find('\0') != value.npos)
                throw FileError(path, fmt::format("line {}: a zero byte", entry.line), "text");
    }
    refuse_duplicates(config);
    return config;
}

}  // namespace cnpd
