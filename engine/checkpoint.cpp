#include "engine/checkpoint.h"

#include <set>

#include <fmt/format.h>

#include "engine/safetensors.h"

namespace cnpd::engine {
namespace {

using nn::DiskLayout;
using nn::NamedTensor;

Shape shape_on_disk(const NamedTensor& named) {
    const Shape& shape = named.tensor.shape();
    switch (named.layout) {
        case DiskLayout::same:
            break;
        case DiskLayout::filter:
            return {shape[0], shape[3], shape[1], shape[2]};
        case DiskLayout::flattened_filter:
            return {shape[0], shape[3] * shape[1] * shape[2]};
    }
    return shape;
}

// [K,A,B] <-> [K,B,A] of 4-byte elements.
std::vector<float> transpose_inner(std::span<const float> values, std::int64_t k, std::int64_t a,
                                   std::int64_t b) {
    std::vector<float> result(values.size());
    for (std::int64_t i = 0; i < k; ++i)
        for (std::int64_t x = 0; x < a; ++x)
            for (std::int64_t y = 0; y < b; ++y)
                result[(i * b + y) * a + x] = values[(i * a + x) * b + y];
    return result;
}

std::vector<std::byte> bytes_of(const NamedTensor& named) {
    const Tensor& tensor = named.tensor;
    const auto as_bytes = [](const auto& values) {
        const auto bytes = std::as_bytes(std::span(values));
        return std::vector<std::byte>(bytes.begin(), bytes.end());
    };
    switch (tensor.dtype()) {
        case DType::float32: {
            const std::vector<float> host = tensor.to_host<float>();
            if (named.layout == DiskLayout::same) return as_bytes(host);
            const Shape& s = tensor.shape();
            return as_bytes(transpose_inner(host, s[0], s[1] * s[2], s[3]));
        }
        case DType::float64:
            return as_bytes(tensor.to_host<double>());
        case DType::int64:
            return as_bytes(tensor.to_host<std::int64_t>());
        case DType::int32:
            return as_bytes(tensor.to_host<std::int32_t>());
        case DType::uint8:
            return as_bytes(tensor.to_host<std::uint8_t>());
        case DType::bfloat16:
            break;
    }
    throw Error("bfloat16 tensors are not written to files");
}

Tensor tensor_of(const NamedTensor& named, const Entry& entry) {
    const Tensor& like = named.tensor;
    if (named.layout == DiskLayout::same)
        return Tensor::from_bytes(entry.data, like.shape(), like.dtype(), like.device());
    const Shape& s = like.shape();
    return Tensor::from(transpose_inner(values<float>(entry), s[0], s[3], s[1] * s[2]), s,
                        like.device());
}

bool optional(const NamedTensor& named) {
    return named.name.ends_with("num_batches_tracked");
}

}  // namespace

void save_tensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                  const std::map<std::string, std::string>& metadata) {
    std::vector<std::vector<std::byte>> bytes;
    std::vector<Entry> entries;
    for (const NamedTensor& named : tensors) {
        bytes.push_back(bytes_of(named));
        entries.push_back({.name = named.name,
                           .dtype = named.tensor.dtype(),
                           .shape = shape_on_disk(named),
                           .data = bytes.back()});
    }
    write_safetensors(path, entries, metadata);
}

std::map<std::string, std::string> load_tensors(const std::filesystem::path& path,
                                                std::span<NamedTensor> tensors) {
    const SafetensorsFile file = SafetensorsFile::read(path);
    std::vector<Tensor> loaded;
    std::set<std::string_view> known;
    for (const NamedTensor& named : tensors) {
        known.insert(named.name);
        if (optional(named) && !file.find(named.name)) {
            loaded.emplace_back();
            continue;
        }
        const Entry& entry = file.at(named.name, named.tensor.dtype(), shape_on_disk(named));
        require_finite(entry, file.path());
        loaded.push_back(tensor_of(named, entry));
    }
    for (const Entry& entry : file.entries())
        if (!known.contains(entry.name))
            throw FileError(file.path(), fmt::format("unexpected tensor \"{}\"", entry.name),
                            fmt::format("the {} tensors of this model", tensors.size()));
    for (std::size_t i = 0; i < tensors.size(); ++i)
        if (loaded[i].defined()) tensors[i].tensor.copy_from(loaded[i]);
    return file.metadata();
}

void save_module(const std::filesystem::path& path, const nn::Module& module) {
    save_tensors(path, module.state());
}

void load_module(const std::filesystem::path& path, nn::Module& module) {
    auto state = module.state();
    load_tensors(path, state);
}

}  // namespace cnpd::engine
