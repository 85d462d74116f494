// Reads: datasets/image.cpp datasets/image_files.cpp
#include <optional>

#include <zlib.h>

#include "datasets/image.h"
#include "datasets/image_files.h"
#include "kernels/common/error.h"

namespace {

using namespace cnpd;
using namespace cnpd::datasets;

// Makes the checksums of a PNG's chunks right, as far as there are whole chunks: without that,
// hardly a changed PNG would get past check_png() to the decoder.
std::vector<std::uint8_t> with_checksums(std::vector<std::uint8_t> file) {
    constexpr std::size_t kSignature = 8, kHeader = 8, kChecksum = 4;
    for (std::size_t at = kSignature; at + kHeader + kChecksum <= file.size();) {
        std::size_t length = 0;
        for (int i = 0; i < 4; ++i) length = length << 8 | file[at + i];
        if (length > file.size() - at - kHeader - kChecksum) break;
        const auto sum = ::crc32(0, file.data() + at + 4, static_cast<uInt>(length + 4));
        at += kHeader + length;
        for (int i = 0; i < 4; ++i) file[at + i] = static_cast<std::uint8_t>(sum >> (24 - 8 * i));
        at += kChecksum;
    }
    return file;
}

std::optional<Image> decode(std::span<const std::byte> file, bool apply_exif) {
    try {
        Image image = decode_image(file, "fuzz", apply_exif);
        if (static_cast<std::int64_t>(image.pixels.size()) != image.h * image.w * image.c)
            __builtin_trap();
        if (image.h * image.w < 1 << 12) resize(image, 5, 7);
        return image;
    } catch (const FileError& error) {
        if (std::string_view(error.what()).find('\n') != std::string_view::npos) __builtin_trap();
        return std::nullopt;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto file = std::as_bytes(std::span(data, size));
    const auto as_stored = decode(file, false);
    if (is_png(file)) {
        const auto repaired = with_checksums({data, data + size});
        if (!decode(std::as_bytes(std::span(repaired)), false) && as_stored) __builtin_trap();
        return 0;
    }
    // Turned or not, it is the same pixels.
    const std::int32_t orientation = exif_orientation(file);
    if (orientation < 1 || orientation > 8) __builtin_trap();
    if (orientation == 1) return 0;
    const auto upright = decode(file, true);
    if (as_stored.has_value() != upright.has_value()) __builtin_trap();
    if (!upright) return 0;
    const bool swaps = orientation >= 5;
    if (upright->h != (swaps ? as_stored->w : as_stored->h) ||
        upright->pixels.size() != as_stored->pixels.size())
        __builtin_trap();
    return 0;
}
