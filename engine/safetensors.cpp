#include "engine/safetensors.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "engine/safetensors_header.h"

namespace cnpd::engine {

static_assert(std::endian::native == std::endian::little, "files are little-endian");

namespace {

// The header is padded to a multiple of this many bytes.
constexpr std::size_t kAlignment = 8;

// All bits of the exponent are set for NaN and infinities, and only for these.
template <class Bits>
bool all_finite(std::span<const std::byte> data, Bits exponent) {
    for (std::size_t i = 0; i + sizeof(Bits) <= data.size(); i += sizeof(Bits)) {
        Bits bits;
        std::memcpy(&bits, data.data() + i, sizeof(Bits));
        if ((bits & exponent) == exponent) return false;
    }
    return true;
}

bool all_finite(const Entry& entry) {
    switch (entry.dtype) {
        case DType::float32:
            return all_finite<std::uint32_t>(entry.data, 0x7f800000u);
        case DType::bfloat16:
            return all_finite<std::uint16_t>(entry.data, 0x7f80u);
        case DType::float64:
            return all_finite<std::uint64_t>(entry.data, 0x7ff0000000000000u);
        default:
            return true;
    }
}

// The tensor's bytes in `data`; `expected_begin` is the end of the bytes before it.
std::span<const std::byte> bytes_of(const HeaderEntry& tensor, std::span<const std::byte> data,
                                    std::uint64_t expected_begin, std::string_view path) {
    const auto [begin, end] = tensor.offsets;
    if (begin != expected_begin)
        throw FileError(
            path,
            fmt::format("tensor {} begins at byte {} of the data", in_quotes(tensor.name), begin),
            fmt::format("{}, without gap or overlap", expected_begin));
    if (end < begin || end > data.size())
        throw FileError(path,
                        fmt::format("tensor {} is at bytes {} to {} of the data",
                                    in_quotes(tensor.name), begin, end),
                        fmt::format("an end from {} to {}", begin, data.size()));
    std::int64_t bytes = 0;
    if (__builtin_mul_overflow(tensor.shape.elements(),
                               static_cast<std::int64_t>(size_of(tensor.dtype)), &bytes) ||
        static_cast<std::uint64_t>(bytes) != end - begin)
        throw FileError(
            path, fmt::format("tensor {} has {} bytes", in_quotes(tensor.name), end - begin),
            fmt::format("those of {} {}", tensor.shape.str(), safetensors_name(tensor.dtype)));
    return data.subspan(begin, end - begin);
}

}  // namespace

SafetensorsFile SafetensorsFile::read(const std::filesystem::path& path) {
    return parse(read_file(path, kMaxBytes), path.string());
}

SafetensorsFile SafetensorsFile::parse(std::vector<std::byte> bytes, std::string_view path) {
    SafetensorsFile file;
    file.path_ = path;
    file.bytes_ = std::move(bytes);
    const std::span<const std::byte> all = file.bytes_;

    std::uint64_t length = 0;
    if (all.size() < sizeof(length))
        throw FileError(path, fmt::format("holds {} bytes", all.size()), "a safetensors file");
    std::memcpy(&length, all.data(), sizeof(length));
    const std::uint64_t longest = std::min(kMaxHeaderBytes, all.size() - sizeof(length));
    if (length > longest)
        throw FileError(path, fmt::format("claims a header of {} bytes", length),
                        fmt::format("a safetensors file with at most {}", longest));
    const auto header = all.subspan(sizeof(length), length);
    const auto data = all.subspan(sizeof(length) + length);

    Header parsed =
        parse_header({reinterpret_cast<const char*>(header.data()), header.size()}, path);
    file.metadata_ = std::move(parsed.metadata);
    std::stable_sort(parsed.tensors.begin(), parsed.tensors.end(),
                     [](const auto& a, const auto& b) { return a.offsets < b.offsets; });
    std::uint64_t end = 0;
    for (HeaderEntry& tensor : parsed.tensors) {
        const auto tensor_bytes = bytes_of(tensor, data, end, path);
        end += tensor_bytes.size();
        file.index_.emplace(tensor.name, file.entries_.size());
        file.entries_.push_back(
            {std::move(tensor.name), tensor.dtype, std::move(tensor.shape), tensor_bytes});
    }
    if (end != data.size())
        throw FileError(path, fmt::format("holds {} bytes of data", data.size()),
                        fmt::format("{}, the sum of its tensors", end));
    return file;
}

const Entry* SafetensorsFile::find(std::string_view name) const {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &entries_[found->second];
}

const Entry& SafetensorsFile::at(std::string_view name) const {
    const Entry* entry = find(name);
    if (!entry) throw FileError(path_, "a tensor is missing", in_quotes(name));
    return *entry;
}

const Entry& SafetensorsFile::at(std::string_view name, DType dtype, const Shape& shape) const {
    const Entry& entry = at(name);
    if (entry.dtype != dtype || entry.shape != shape)
        throw FileError(path_,
                        fmt::format("tensor {} is {} {}", in_quotes(name), entry.shape.str(),
                                    safetensors_name(entry.dtype)),
                        fmt::format("{} {}", shape.str(), safetensors_name(dtype)));
    return entry;
}

void write_safetensors(const std::filesystem::path& path, std::span<const Entry> entries,
                       const Metadata& metadata) {
    std::vector<const Entry*> ordered;
    for (const Entry& entry : entries) ordered.push_back(&entry);
    std::sort(ordered.begin(), ordered.end(), [](const Entry* a, const Entry* b) {
        const int order_a = writing_order(a->dtype), order_b = writing_order(b->dtype);
        return order_a != order_b ? order_a < order_b : a->name < b->name;
    });

    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata.empty()) header[kMetadataKey] = metadata;
    std::set<std::string_view> names = {kMetadataKey};
    std::vector<std::span<const std::byte>> pieces(2);
    std::size_t offset = 0;
    for (const Entry* entry : ordered) {
        CNPD_CHECK(names.insert(entry->name).second, "two tensors named " + in_quotes(entry->name));
        CNPD_CHECK(entry->data.size() == entry->shape.elements() * size_of(entry->dtype),
                   fmt::format("{} bytes for {} {} {}", entry->data.size(), entry->shape.str(),
                               name_of(entry->dtype), in_quotes(entry->name)));
        header[entry->name] = {{"dtype", safetensors_name(entry->dtype)},
                               {"shape", entry->shape.extents()},
                               {"data_offsets", {offset, offset + entry->data.size()}}};
        offset += entry->data.size();
        pieces.push_back(entry->data);
    }
    std::string text;
    try {
        text = header.dump();
    } catch (const nlohmann::json::exception&) {
        throw Error("a tensor's name or the metadata is not UTF-8");
    }
    text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
    const std::uint64_t length = text.size();
    pieces[0] = std::as_bytes(std::span(&length, 1));
    pieces[1] = std::as_bytes(std::span(text));
    write_file_atomically(path, pieces);
}

void require_finite(const Entry& entry, std::string_view path) {
    if (!all_finite(entry))
        throw FileError(path, fmt::format("tensor {} holds NaN or infinity", in_quotes(entry.name)),
                        "finite values");
}

}  // namespace cnpd::engine
