#include "engine/dispatch.h"

#include <cstring>

#ifdef CNPD_HAS_CUDA
#include "kernels/common/gpu.h"
#endif

namespace cnpd::engine {

void no_such_backend(Device device, const char* kernel) {
    throw DeviceError(std::string(kernel) + " has no implementation for device " + device.str());
}

namespace copy_memory {
namespace {

bool on_host(Device device, [[maybe_unused]] const char* what) {
    if (device.backend == Backend::cpu) return true;
#ifndef CNPD_HAS_CUDA
    no_such_backend(device, what);
#endif
    return false;
}

void copy_on_host(void* target, const void* source, std::size_t bytes) {
    if (bytes) std::memcpy(target, source, bytes);
}

}  // namespace

#ifdef CNPD_HAS_CUDA
#define CNPD_GPU(call) kernels::gpu::call
#else
#define CNPD_GPU(call)
#endif

void host_to_device(void* target, const void* source, std::size_t bytes, Device device) {
    if (on_host(device, "host_to_device")) return copy_on_host(target, source, bytes);
    CNPD_GPU(copy_to_device(target, source, bytes));
}

void device_to_host(void* target, const void* source, std::size_t bytes, Device device) {
    if (on_host(device, "device_to_host")) return copy_on_host(target, source, bytes);
    CNPD_GPU(copy_to_host(target, source, bytes));
}

void device_to_device(void* target, const void* source, std::size_t bytes, Device device) {
    if (on_host(device, "device_to_device")) return copy_on_host(target, source, bytes);
    CNPD_GPU(copy_on_device(target, source, bytes));
}

void set_zero(void* target, std::size_t bytes, Device device) {
    if (on_host(device, "set_zero")) {
        if (bytes) std::memset(target, 0, bytes);
        return;
    }
    CNPD_GPU(set_zero(target, bytes));
}

#undef CNPD_GPU

}  // namespace copy_memory

}  // namespace cnpd::engine
