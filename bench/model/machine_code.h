// tests/cuda/machine_code.csv, the committed description of the compiled kernels.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>

namespace cnpd::bench {

struct MachineCode {
    int registers = 0, static_shared = 0;  // of a thread; bytes of a block
    // The main loop: instructions, bytes of device memory and multiply-adds of a thread, and
    // tensor-core instructions of a warp or warpgroup in the whole kernel.
    int loop = 0, loop_bytes = 0, loop_multiply_adds = 0, tensor = 0;
};

// By file and kernel. Throws Error if the file cannot be read.
std::map<std::pair<std::string, std::string>, MachineCode> read_machine_code(
    const std::filesystem::path& table);

}  // namespace cnpd::bench
