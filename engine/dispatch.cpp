#include "engine/dispatch.h"

#include <cstring>

#include "kernels/common/gpu.h"

namespace cnpd::engine {

void no_such_backend(Device device, const char* kernel) {
    throw DeviceError(std::string(kernel) + " has no implementation for device " + device.str());
}

namespace copy_memory {
namespace {

void copy_on_host(void* target, const void* source, std::size_t bytes) {
    if (bytes) std::memcpy(target, source, bytes);
}

}  // namespace

void host_to_device(void* target, const void* source, std::size_t bytes, Device device) {
    if (device.backend == Backend::cpu) return copy_on_host(target, source, bytes);
    kernels::gpu::copy_to_device(target, source, bytes);
}

void device_to_host(void* target, const void* source, std::size_t bytes, Device device) {
    if (device.backend == Backend::cpu) return copy_on_host(target, source, bytes);
    kernels::gpu::copy_to_host(target, source, bytes);
}

void device_to_device(void* target, const void* source, std::size_t bytes, Device device) {
    if (device.backend == Backend::cpu) return copy_on_host(target, source, bytes);
    kernels::gpu::copy_on_device(target, source, bytes);
}

void set_zero(void* target, std::size_t bytes, Device device) {
    if (device.backend == Backend::cpu) {
        if (bytes) std::memset(target, 0, bytes);
        return;
    }
    kernels::gpu::set_zero(target, bytes);
}

}  // namespace copy_memory

}  // namespace cnpd::engine
