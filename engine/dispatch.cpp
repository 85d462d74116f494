#include "engine/dispatch.h"

#include <cstring>

namespace cnpd::engine {

void no_such_backend(Device device, const char* kernel) {
    throw DeviceError(std::string(kernel) + " has no implementation for device " + device.str());
}

namespace copy_memory {
namespace {
void copy(void* target, const void* source, std::size_t bytes, Device device, const char* what) {
    if (device.backend != Backend::cpu) no_such_backend(device, what);
    if (bytes) std::memcpy(target, source, bytes);
}
}  // namespace

void host_to_device(void* target, const void* source, std::size_t bytes, Device device) {
    copy(target, source, bytes, device, "host_to_device");
}

void device_to_host(void* target, const void* source, std::size_t bytes, Device device) {
    copy(target, source, bytes, device, "device_to_host");
}

void device_to_device(void* target, const void* source, std::size_t bytes, Device device) {
    copy(target, source, bytes, device, "device_to_device");
}

void set_zero(void* target, std::size_t bytes, Device device) {
    if (device.backend != Backend::cpu) no_such_backend(device, "set_zero");
    if (bytes) std::memset(target, 0, bytes);
}
}  // namespace copy_memory

}  // namespace cnpd::engine
