// Fingerprints of files and settings: xxHash (XXH3, 64 bits), the same on every machine.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace cnpd::store {

// 16 hexadecimal digits.
std::string fingerprint(std::span<const std::byte> bytes);
std::string fingerprint(std::string_view text);
// Fingerprint of a run's weights. Throws FileError.
std::string fingerprint_of_weights(const std::filesystem::path& run);

}  // namespace cnpd::store
