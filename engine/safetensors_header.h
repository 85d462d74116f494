// The JSON header of safetensors files; private to safetensors.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/safetensors.h"

namespace cnpd::engine {

// The reference implementation's limit.
inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr const char* kMetadataKey = "__metadata__";

struct HeaderEntry {
    std::string name;
    DType dtype = DType::float32;
    Shape shape;
    // First byte of the data and end of the data, not validated.
    std::pair<std::uint64_t, std::uint64_t> offsets;
};

struct Header {
    std::vector<HeaderEntry> tensors;
    Metadata metadata;
};

// Throws FileError unless the header has the structure of the format: known fields, each once, of
// the right types.
Header parse_header(std::string_view text, std::string_view path);

// Tensors of lower ones are written first.
int writing_order(DType dtype);
// "F32", ...
std::string_view safetensors_name(DType dtype);

}  // namespace cnpd::engine
