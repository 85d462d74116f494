#include "cnpd/report/png.h"

#include <algorithm>
#include <string_view>

#include "cnpd/report/report_data.h"

namespace cnpd::report {
namespace {

using Bytes = std::vector<std::uint8_t>;

void put32(Bytes& out, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        out.push_back(static_cast<std::uint8_t>(value >> shift));
}

std::uint32_t crc32(const std::uint8_t* data, std::size_t size) {
    std::uint32_t crc = ~0u;
    for (std::size_t i = 0; i < size; ++i) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0u);
    }
    return ~crc;
}

void put_chunk(Bytes& out, std::string_view type, const Bytes& body) {
    put32(out, static_cast<std::uint32_t>(body.size()));
    const std::size_t start = out.size();
    out.insert(out.end(), type.begin(), type.end());
    out.insert(out.end(), body.begin(), body.end());
    put32(out, crc32(out.data() + start, out.size() - start));
}

Bytes stored(const Bytes& raw) {
    Bytes out = {0x78, 0x01};
    std::uint32_t a = 1, b = 0;
    for (std::uint8_t byte : raw) a = (a + byte) % 65521, b = (b + a) % 65521;
    for (std::size_t at = 0; at < raw.size(); at += 65535) {
        const std::size_t size = std::min<std::size_t>(65535, raw.size() - at);
        out.push_back(at + size == raw.size());
        for (std::size_t value : {size, ~size & 0xFFFF}) {
            out.push_back(static_cast<std::uint8_t>(value & 0xFF));
            out.push_back(static_cast<std::uint8_t>(value >> 8));
        }
        out.insert(out.end(), raw.begin() + at, raw.begin() + at + size);
    }
    put32(out, b << 16 | a);
    return out;
}

}  // namespace

Bytes encode_png(const Image& image) {
    Bytes out = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'}, header, raw;
    put32(header, image.width);
    put32(header, image.height);
    header.insert(header.end(),
                  {8, static_cast<std::uint8_t>(image.channels == 3 ? 2 : 0), 0, 0, 0});
    put_chunk(out, "IHDR", header);
    const std::size_t row = std::size_t(image.width) * image.channels;
    for (std::size_t at = 0; at < image.pixels.size(); at += row) {
        raw.push_back(0);
        raw.insert(raw.end(), image.pixels.begin() + at, image.pixels.begin() + at + row);
    }
    put_chunk(out, "IDAT", stored(raw));
    put_chunk(out, "IEND", {});
    return out;
}

}  // namespace cnpd::report
