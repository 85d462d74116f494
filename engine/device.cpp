#include "engine/device.h"

#include <fmt/format.h>

#include "kernels/common/backend.h"
#include "kernels/common/error.h"
#include "kernels/common/gpu.h"

namespace cnpd::engine {

using kernels::GpuBackend;
using kernels::kGpuBackend;

std::optional<Backend> gpu_backend() {
    switch (kGpuBackend) {
        case GpuBackend::real:
            return Backend::cuda;
        case GpuBackend::emulated:
            return Backend::emulated;
        case GpuBackend::none:
            break;
    }
    return std::nullopt;
}

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
    if (!gpu_backend()) return {Backend::cpu};
    if (kGpuBackend == GpuBackend::real) return {*gpu_backend(), Backend::cpu};
    return {Backend::cpu, *gpu_backend()};
}

std::vector<Device> available_devices() {
    std::vector<Device> devices;
    for (const Backend backend : built_backends())
        if (backend == Backend::cpu || kernels::gpu::device_count() > 0)
            devices.push_back({.backend = backend});
    return devices;
}

std::string why_no_gpu() {
    if (kGpuBackend == GpuBackend::emulated)
        return "this program was built for the emulated GPU (-DCNPD_CUDA=EMULATE), not for CUDA "
               "(-DCNPD_CUDA=ON)";
    return kernels::gpu::why_no_device();
}

Device device_from_name(std::string_view name) {
    for (const Device& device : available_devices())
        if (name == device.str()) return device;
    if (name == "cuda" || name.starts_with("cuda:"))
        throw DeviceError(
            why_no_gpu().empty()
                ? fmt::format(
                      "device {}: only one GPU is supported; select it with CUDA_VISIBLE_DEVICES",
                      name)
                : fmt::format("device {}: {}; see cnpd info, or use --device cpu", name,
                              why_no_gpu()));
    if (name == "emulated")
        throw DeviceError(
            "device emulated: this program was built without the emulator "
            "(-DCNPD_CUDA=EMULATE); use --device cpu");
    throw InputError(fmt::format("unknown device '{}'; known: cpu, cuda, emulated", name));
}

}  // namespace cnpd::engine
