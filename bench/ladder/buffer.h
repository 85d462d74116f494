// Device memory for the ladders' operands.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/common/gpu.h"

namespace cnpd::bench {

// `count` numbers between -1 and 1 in device memory, aligned to 256 bytes.
template <typename T>
std::shared_ptr<T> device_values(std::int64_t count) {
    std::vector<T> host(static_cast<std::size_t>(count));
    std::uint32_t state = 1;
    for (T& value : host) {
        state = state * 1664525 + 1013904223;
        value = T(static_cast<float>(state >> 8) * 0x1p-23f - 1);
    }
    const std::size_t bytes = host.size() * sizeof(T);
    std::shared_ptr<T> memory(static_cast<T*>(kernels::gpu::allocate(bytes)),
                              [](T* pointer) { kernels::gpu::release(pointer); });
    kernels::gpu::copy_to_device(memory.get(), host.data(), bytes);
    return memory;
}

}  // namespace cnpd::bench
