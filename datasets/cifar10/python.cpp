// The Python batches of CIFAR-10.
#include <fmt/format.h>

#include "datasets/cifar10/batches.h"
#include "datasets/cifar10/cifar10.h"
#include "datasets/cifar10/pickle.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets::cifar10 {

namespace {

// The entry of the pickled dictionary with this key. Throws FileError unless it is a T.
template <class T>
const T& entry(const Pickle& pickle, std::string_view key, std::string_view path) {
    const Pickle::Value* value = pickle.find(key);
    const T* result = value ? std::get_if<T>(value) : nullptr;
    if (!result)
        throw FileError(path,
                        fmt::format("its '{}' is {}", key, value ? "of the wrong type" : "missing"),
                        "a CIFAR-10 dictionary (is this CIFAR-100?)");
    return *result;
}

}  // namespace

void read_python_batch(std::span<const std::byte> file, std::string_view path, std::int64_t count,
                       Images& images) {
    const Pickle pickle(file, path);
    const auto& labels = entry<Pickle::List>(pickle, "labels", path).items;
    const auto& data = entry<Pickle::Array>(pickle, "data", path);
    if (static_cast<std::int64_t>(labels.size()) != count)
        throw FileError(path, fmt::format("holds {} labels", labels.size()),
                        fmt::format("{}", count));
    if (!data.built || data.shape != std::vector<std::int64_t>{count, kImageBytes})
        throw FileError(
            path, fmt::format("its 'data' has the wrong shape and {} bytes", data.bytes.size()),
            fmt::format("[{},{}]", count, kImageBytes));
    const std::int64_t before = images.n;
    append_empty(images, count);
    for (std::int64_t i = 0; i < count; ++i) {
        const auto* label = std::get_if<std::int64_t>(&pickle.at(labels[i]));
        if (!label || *label < 0 || *label >= static_cast<std::int64_t>(kClassNames.size()))
            throw FileError(path,
                            label ? fmt::format("image {} has label {}", i, *label)
                                  : fmt::format("the label of image {} is not a number", i),
                            fmt::format("labels from 0 to {}", kClassNames.size() - 1));
        images.labels[before + i] = static_cast<std::int32_t>(*label);
        interleave(reinterpret_cast<const std::uint8_t*>(data.bytes.data()) + i * kImageBytes,
                   images.pixels.data() + (before + i) * kImageBytes);
    }
}

std::vector<std::string> read_python_names(std::span<const std::byte> file, std::string_view path) {
    const Pickle pickle(file, path);
    const auto& items = entry<Pickle::List>(pickle, "label_names", path).items;
    if (items.size() != kClassNames.size())
        throw FileError(path, fmt::format("names {} classes", items.size()), "10");
    std::vector<std::string> names;
    for (std::size_t i = 0; i < items.size(); ++i) {
        const auto* name = std::get_if<std::string_view>(&pickle.at(items[i]));
        if (!name || *name != kClassNames[i])
            throw FileError(path,
                            name ? fmt::format("names class {} {}", i, engine::in_quotes(*name))
                                 : fmt::format("the name of class {} is not text", i),
                            fmt::format("{}", kClassNames[i]));
        names.emplace_back(*name);
    }
    return names;
}

}  // namespace cnpd::datasets::cifar10
