// The emulated device's memory. On a GPU, host code cannot access device memory and kernels cannot
// access host memory; here such accesses would work by chance. Therefore its pages are protected
// while host code runs, and every access of a kernel is checked (memory_checks.cpp).
#pragma once

#include <cstddef>

namespace cnpd::kernels::emulator {

// Memory aligned to 256 bytes and filled with 0xFF, which is NaN for floats, because a GPU's memory
// is not initialised either. Throws std::bad_alloc.
void* allocate_device_memory(std::size_t bytes);
void release_device_memory(void* memory) noexcept;

// For tests: from now on, allocations fail if they make the total exceed so many bytes.
void limit_device_memory(std::size_t bytes);
std::size_t device_memory_in_use();  // bytes

bool is_device_memory(const void* address);

// Pages are accessible while an object of this class exists: in launches and copies. Any other
// access is reported on stderr with a backtrace and then causes the usual segmentation fault.
class DeviceAccess {
  public:
    DeviceAccess();
    ~DeviceAccess();
    DeviceAccess(const DeviceAccess&) = delete;
    DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace cnpd::kernels::emulator
