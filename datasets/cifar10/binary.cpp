// The binary batches of CIFAR-10.
#include <algorithm>

#include <fmt/format.h>

#include "datasets/cifar10/batches.h"
#include "datasets/cifar10/cifar10.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets::cifar10 {

void append_empty(Images& images, std::int64_t count) {
    images.h = images.w = kSize;
    images.c = 3;
    images.n += count;
    images.pixels.resize(images.n * kImageBytes);
    images.labels.resize(images.n);
}

void interleave(const std::uint8_t* planes, std::uint8_t* pixels) {
    constexpr std::int64_t kPlane = kSize * kSize;
    for (std::int64_t i = 0; i < kPlane; ++i)
        for (std::int64_t c = 0; c < 3; ++c) pixels[3 * i + c] = planes[c * kPlane + i];
}

void read_binary_batch(std::span<const std::byte> file, std::string_view path, std::int64_t count,
                       Images& images) {
    constexpr std::int64_t kRecord = 1 + kImageBytes;
    if (static_cast<std::int64_t>(file.size()) != count * kRecord)
        throw FileError(path, fmt::format("holds {} bytes", file.size()),
                        fmt::format("{}: {} images of {}", count * kRecord, count, kRecord));
    const std::int64_t before = images.n;
    append_empty(images, count);
    for (std::int64_t i = 0; i < count; ++i) {
        const auto* record = reinterpret_cast<const std::uint8_t*>(file.data()) + i * kRecord;
        if (record[0] >= kClassNames.size())
            throw FileError(path, fmt::format("image {} has label {}", i, record[0]),
                            fmt::format("labels below {}", kClassNames.size()));
        images.labels[before + i] = record[0];
        interleave(record + 1, images.pixels.data() + (before + i) * kImageBytes);
    }
}

std::vector<std::string> read_text_names(std::string_view text, std::string_view path) {
    std::vector<std::string> names;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        if (line.ends_with('\r')) line.remove_suffix(1);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty()) continue;  // the official file ends with empty lines
        if (names.size() == kClassNames.size() || line != kClassNames[names.size()])
            throw FileError(path,
                            fmt::format("names class {} {}", names.size(), engine::in_quotes(line)),
                            "CIFAR-10's ten names, from airplane to truck");
        names.emplace_back(line);
    }
    if (names.size() != kClassNames.size())
        throw FileError(path, fmt::format("names {} classes", names.size()), "10");
    return names;
}

}  // namespace cnpd::datasets::cifar10
