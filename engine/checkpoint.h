// Tensors to and from safetensors files, in PyTorch's layouts.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "engine/nn/module.h"

namespace cnpd::engine {

// Writes the tensors atomically under their names. Filters are transposed to [K,C,R,S].
void save_tensors(const std::filesystem::path& path, std::span<const nn::NamedTensor> tensors,
                  const std::map<std::string, std::string>& metadata = {});

// Fills the tensors from the file. Throws FileError if the file is damaged, lacks a tensor or has
// an additional one, or if a type, a shape or a value (NaN, infinity) is wrong; the tensors are
// then unchanged. Only "num_batches_tracked", which is not used here, may be missing. Returns the
// file's metadata.
std::map<std::string, std::string> load_tensors(const std::filesystem::path& path,
                                                std::span<nn::NamedTensor> tensors);

// The module's parameters and buffers.
void save_module(const std::filesystem::path& path, const nn::Module& module);
void load_module(const std::filesystem::path& path, nn::Module& module);

}  // namespace cnpd::engine
