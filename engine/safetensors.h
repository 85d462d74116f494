// The safetensors format: named tensors in one file, without executable code.
//
//     8 bytes          length of the header, little-endian
//     header           JSON, padded with spaces:
//                      {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]}, ...,
//                       "__metadata__": {"key": "text"}}
//     data             the tensors one after the other, without gaps
//
// https://github.com/huggingface/safetensors
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/dtype.h"
#include "engine/shape.h"
#include "kernels/common/error.h"

namespace cnpd::engine {

// One tensor of a file. It does not own the bytes, which are little-endian and may not be aligned
// to their type; values() copies them.
struct Entry {
    std::string name;
    DType dtype = DType::float32;
    Shape shape;
    std::span<const std::byte> data;
};

using Metadata = std::map<std::string, std::string>;

// A file that has been read and validated. The entries' bytes live as long as the object.
class SafetensorsFile {
  public:
    // Larger files are refused.
    static constexpr std::int64_t kMaxBytes = std::int64_t{4} << 30;

    // Throws FileError if the file cannot be read or is not valid in every detail. Values are not
    // checked: see require_finite().
    static SafetensorsFile read(const std::filesystem::path& path);
    // The same for bytes in memory; the path is for the messages.
    static SafetensorsFile parse(std::vector<std::byte> bytes, std::string_view path);

    SafetensorsFile(SafetensorsFile&&) = default;
    SafetensorsFile& operator=(SafetensorsFile&&) = default;

    const std::string& path() const { return path_; }
    // In the order of their bytes.
    const std::vector<Entry>& entries() const { return entries_; }
    // Null if there is no tensor of that name.
    const Entry* find(std::string_view name) const;
    // Throws FileError if there is no tensor of that name, or if its type or shape differs.
    const Entry& at(std::string_view name) const;
    const Entry& at(std::string_view name, DType dtype, const Shape& shape) const;
    const Metadata& metadata() const { return metadata_; }

  private:
    SafetensorsFile() = default;
    std::string path_;
    std::vector<std::byte> bytes_;
    std::vector<Entry> entries_;
    std::map<std::string, std::size_t, std::less<>> index_;
    Metadata metadata_;
};

// Replaces the file atomically, see write_file_atomically(). Entries are ordered by element type,
// large ones first, then by name, like in the reference implementation: each is aligned to its
// type, and equal contents give equal files. Throws FileError if writing fails, and Error if two
// entries share a name or an entry's size does not match its shape.
void write_safetensors(const std::filesystem::path& path, std::span<const Entry> entries,
                       const Metadata& metadata = {});

// Throws FileError if a floating-point value is NaN or infinite.
void require_finite(const Entry& entry, std::string_view path);

// A copy of the elements. Throws ShapeError if they have another type.
template <class T>
std::vector<T> values(const Entry& entry) {
    CNPD_CHECK_SHAPE(entry.dtype == dtype_of<T>, entry.name);
    std::vector<T> result(entry.data.size() / sizeof(T));
    if (!result.empty()) std::memcpy(result.data(), entry.data.data(), entry.data.size());
    return result;
}

}  // namespace cnpd::engine
