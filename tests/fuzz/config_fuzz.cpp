// Reads: cnpd/settings/config cnpd/settings/toml_entries cnpd/settings/json_entries
// Any text gives a list of settings or a FileError of one line, as TOML and as JSON.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cnpd/settings/config_file.h"
#include "kernels/common/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto format : {cnpd::ConfigFormat::toml, cnpd::ConfigFormat::json}) {
        try {
            const cnpd::Config config = cnpd::parse_config(text, format, "fuzz");
            for (const auto& entry : config.entries)
                if (entry.key.empty() || entry.line < 1) std::abort();
            config.entries_for("train");
        } catch (const cnpd::FileError& error) {
            if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
        }
    }
    return 0;
}
