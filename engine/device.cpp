#include "engine/device.h"

#include <fmt/format.h>

#include "kernels/common/error.h"
#ifdef CNPD_REAL_CUDA
#include "kernels/common/gpu.h"
#endif

namespace cnpd::engine {

std::string_view name_of(Backend backend) {
    switch (backend) {
        case Backend::cpu:
            return "cpu";
        case Backend::cuda:
            return "cuda";
        case Backend::emulated:
            return "emulated";
    }
    throw Error("unknown backend");
}

std::string Device::str() const {
    return index == 0 ? std::string(name_of(backend))
                      : fmt::format("{}:{}", name_of(backend), index);
}

std::vector<Backend> built_backends() {
#if defined(CNPD_EMULATED)
    return {Backend::cpu, Backend::emulated};
#elif defined(CNPD_HAS_CUDA)
    return {Backend::cuda, Backend::cpu};
#else
    return {Backend::cpu};
#endif
}

std::vector<Device> available_devices() {
    std::vector<Device> devices;
#ifdef CNPD_REAL_CUDA
    if (kernels::gpu::device_count() > 0) devices.push_back({.backend = Backend::cuda});
#endif
    devices.push_back({});
#ifdef CNPD_EMULATED
    devices.push_back({.backend = Backend::emulated});
#endif
    return devices;
}

std::string why_no_gpu() {
#ifdef CNPD_REAL_CUDA
    return kernels::gpu::why_no_device();
#else
    return "this program was built without the CUDA backend (-DCNPD_CUDA=ON)";
#endif
}

Device device_from_name(std::string_view name) {
    for (const Device& device : available_devices())
        if (name == device.str()) return device;
    if (name == "cuda" || name.starts_with("cuda:"))
        throw DeviceError(
            why_no_gpu().empty()
                ? fmt::format(
                      "device {}: one GPU is used; use CUDA_VISIBLE_DEVICES to choose which", name)
                : fmt::format("device {}: {}; see cnpd info, or use --device cpu", name,
                              why_no_gpu()));
    if (name == "emulated")
        throw DeviceError(
            "device emulated: this program was built without the emulator "
            "(-DCNPD_CUDA=EMULATE); use --device cpu");
    throw InputError(fmt::format("unknown device '{}'; known: cpu, cuda, emulated", name));
}

}  // namespace cnpd::engine
