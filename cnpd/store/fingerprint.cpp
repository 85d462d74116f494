#include "cnpd/store/fingerprint.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "cnpd/store/run_directory.h"
#include "engine/files.h"
#include "engine/safetensors.h"

namespace cnpd::store {

std::string fingerprint(std::span<const std::byte> bytes) {
    return fmt::format("{:016x}", XXH3_64bits(bytes.data(), bytes.size()));
}

std::string fingerprint(std::string_view text) {
    return fingerprint(std::as_bytes(std::span(text)));
}

std::string fingerprint_of_weights(const std::filesystem::path& run) {
    return fingerprint(
        engine::read_file(run_file(run, run_files::model), engine::SafetensorsFile::kMaxBytes));
}

}  // namespace cnpd::store
