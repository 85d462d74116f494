#include "engine/device.h"

#include <fmt/format.h>

#include "kernels/common/error.h"

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
    return {Backend::cpu};
}

std::vector<Device> available_devices() {
    return {Device{}};
}

Device device_from_name(std::string_view name) {
    if (name == "cpu") return {};
    if (name == "cuda" || name.starts_with("cuda:"))
        throw DeviceError(
            "device cuda: this program was built without the CUDA backend; use --device cpu");
    if (name == "emulated")
        throw DeviceError(
            "device emulated: this program was built without the emulator; use --device cpu");
    throw InputError(fmt::format("unknown device '{}'; known: cpu, cuda, emulated", name));
}

}  // namespace cnpd::engine
