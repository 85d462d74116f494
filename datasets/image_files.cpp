#include "datasets/image_files.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <zlib.h>

#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

namespace {

constexpr unsigned char kPngSignature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// All of `bytes` as an unsigned number.
std::uint32_t number_in(std::span<const std::byte> bytes, bool big_endian = true) {
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        number = number << 8 |
                 std::to_integer<std::uint32_t>(bytes[big_endian ? i : bytes.size() - 1 - i]);
    return number;
}

// `size` bytes at `begin`; nullopt if the span is too short.
std::optional<std::span<const std::byte>> part_of(std::span<const std::byte> bytes,
                                                  std::size_t begin, std::size_t size) {
    if (begin > bytes.size() || size > bytes.size() - begin) return std::nullopt;
    return bytes.subspan(begin, size);
}

// The orientation in an EXIF block's TIFF data: a header of 8 bytes and a directory of 12-byte
// entries.
std::int32_t orientation_in_tiff(std::span<const std::byte> tiff) {
    constexpr std::size_t kHeader = 8, kEntry = 12;
    constexpr std::uint32_t kOrientation = 0x0112, kShort = 3, kMagic = 42;
    if (tiff.size() < kHeader) return 1;
    const std::string_view order = text_of(tiff.first(2));
    if (order != "II" && order != "MM") return 1;
    const bool big = order == "MM";
    if (number_in(tiff.subspan(2, 2), big) != kMagic) return 1;
    const std::size_t directory = number_in(tiff.subspan(4, 4), big);
    const auto count = part_of(tiff, directory, 2);
    if (!count) return 1;
    for (std::size_t i = 0; i < number_in(*count, big); ++i) {
        const auto entry = part_of(tiff, directory + 2 + kEntry * i, kEntry);
        if (!entry) return 1;
        if (number_in(entry->first(2), big) != kOrientation) continue;
        const std::uint32_t value = number_in(entry->subspan(8, 2), big);
        const bool is_sound = number_in(entry->subspan(2, 2), big) == kShort &&
                              number_in(entry->subspan(4, 4), big) == 1 && value >= 1 && value <= 8;
        return is_sound ? static_cast<std::int32_t>(value) : 1;
    }
    return 1;
}

}  // namespace

bool is_png(std::span<const std::byte> file) {
    const auto begin = std::as_bytes(std::span(kPngSignature));
    return file.size() >= begin.size() && std::equal(begin.begin(), begin.end(), file.begin());
}

void check_png(std::span<const std::byte> file, std::string_view path) {
    constexpr std::size_t kHeader = 8, kChecksum = 4;  // of a chunk; a header is length and type
    for (std::size_t at = sizeof kPngSignature;;) {
        const auto header = part_of(file, at, kHeader);
        const std::size_t length = header ? number_in(header->first(4)) : 0;
        const auto chunk = part_of(file, at, kHeader + length + kChecksum);
        if (!header || !chunk)
            throw FileError(path,
                            fmt::format("ends after {} bytes within a PNG image", file.size()));
        const auto checked = chunk->subspan(4, 4 + length);  // type and data
        const std::string_view type = text_of(checked.first(4));
        const auto sum = ::crc32(0, reinterpret_cast<const Bytef*>(checked.data()),
                                 static_cast<uInt>(checked.size()));
        if (sum != number_in(chunk->last(kChecksum)))
            throw FileError(path, fmt::format("is damaged: the checksum of its chunk {} at byte {} "
                                              "is wrong",
                                              engine::in_quotes(type), at));
        if (type == "IEND") return;
        at += chunk->size();
    }
}

std::int32_t exif_orientation(std::span<const std::byte> file) {
    constexpr std::uint32_t kStart = 0xffd8, kApp1 = 0xffe1, kScan = 0xffda, kMarkers = 0xff00;
    constexpr std::string_view kExif("Exif\0\0", 6);
    if (file.size() < 2 || number_in(file.first(2)) != kStart) return 1;
    for (std::size_t at = 2;;) {
        const auto header = part_of(file, at, 4);  // a marker and its segment's length
        if (!header) return 1;
        const std::uint32_t marker = number_in(header->first(2));
        const std::size_t length = number_in(header->last(2));
        const auto segment = part_of(file, at + 2, length);
        if (marker < kMarkers || marker == kScan || length < 2 || !segment) return 1;
        if (marker == kApp1 && text_of(segment->subspan(2)).starts_with(kExif))
            return orientation_in_tiff(segment->subspan(2 + kExif.size()));
        at += 2 + length;
    }
}

}  // namespace cnpd::datasets
