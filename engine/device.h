// Devices that hold tensors and run kernels.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cnpd::engine {

enum class Backend { cpu, cuda, emulated };

struct Device {
    Backend backend = Backend::cpu;
    int index = 0;

    // "cpu", "cuda", "cuda:1", "emulated"
    std::string str() const;
    bool operator==(const Device&) const = default;
};

// The device with a name as in `--device`. Throws InputError for an unknown name, and DeviceError,
// which says how to get it, for a device that this build or machine does not have.
Device device_from_name(std::string_view name);

// The devices of this build and machine: cuda first if there is one, cpu always.
std::vector<Device> available_devices();
inline Device default_device() {
    return available_devices().front();
}

// Why there is no cuda device; empty if there is one.
std::string why_no_gpu();

// The backend of this build's GPU, real or emulated; nothing if it has none.
std::optional<Backend> gpu_backend();

// The backends in this build, whether or not they can be used here.
std::vector<Backend> built_backends();
std::string_view name_of(Backend backend);

}  // namespace cnpd::engine
