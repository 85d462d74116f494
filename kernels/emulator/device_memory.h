// The emulated device's memory. A GPU's is not the host's: host code that reaches into it, or a
// kernel that reaches out of it, works by chance here and would end the program there. So its pages
// are closed while host code runs, and kernels are checked access by access (memory_checks.cpp).
#pragma once

#include <cstddef>

namespace cnpd::kernels::emulator {

// Memory aligned to 256 bytes and filled with 0xFF, which is NaN for floats: a GPU's is not clean
// either. Throws std::bad_alloc.
void* allocate_device_memory(std::size_t bytes);
void release_device_memory(void* memory) noexcept;

// For tests: from now on, allocations that would make the total exceed so many bytes fail.
void limit_device_memory(std::size_t bytes);
std::size_t device_memory_in_use();  // bytes

bool is_device_memory(const void* address);

// The pages are open while one of these lives: in launches and copies. Without one, an access is
// reported on stderr with the calls that led to it, and then is the segmentation fault that it is.
class DeviceAccess {
  public:
    DeviceAccess();
    ~DeviceAccess();
    DeviceAccess(const DeviceAccess&) = delete;
    DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace cnpd::kernels::emulator
