// Reads: engine/safetensors.cpp engine/safetensors_header.cpp
// Any bytes give a valid safetensors file or a FileError of one line.
#include <cstdint>
#include <cstdlib>

#include "engine/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto* bytes = reinterpret_cast<const std::byte*>(data);
    try {
        const auto file = cnpd::engine::SafetensorsFile::parse({bytes, bytes + size}, "fuzz");
        for (const auto& entry : file.entries()) {
            const std::size_t expected = entry.shape.elements() * size_of(entry.dtype);
            if (file.find(entry.name) != &entry || entry.data.size() != expected) std::abort();
            // Reads every byte.
            if (entry.dtype == cnpd::engine::DType::uint8)
                cnpd::engine::values<std::uint8_t>(entry);
            cnpd::engine::require_finite(entry, file.path());
        }
    } catch (const cnpd::FileError& error) {
        if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
    }
    return 0;
}
