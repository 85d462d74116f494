// Calls the kernels of a tensor's device.
#pragma once

#include <cstddef>

#include "engine/device.h"
#include "engine/dtype.h"
#include "kernels/common/backend.h"
#include "kernels/common/error.h"

namespace cnpd::engine {

// Throws DeviceError.
[[noreturn]] void no_such_backend(Device device, const char* kernel);

// Plain copies between host and device memory, ordered with the device's kernels.
namespace copy_memory {
void host_to_device(void* target, const void* source, std::size_t bytes, Device device);
void device_to_host(void* target, const void* source, std::size_t bytes, Device device);
void device_to_device(void* target, const void* source, std::size_t bytes, Device device);
void set_zero(void* target, std::size_t bytes, Device device);
}  // namespace copy_memory

}  // namespace cnpd::engine

// Calls the kernels' function of this name for a device that is not the CPU. A build without a GPU
// backend has no such function; the discarded statement does not refer to it.
#define CNPD_RUN_ON_GPU(device, kernel, ...)                                             \
    do {                                                                                 \
        if constexpr (::cnpd::kernels::kGpuBackend != ::cnpd::kernels::GpuBackend::none) \
            ::cnpd::kernels::cuda::kernel(__VA_ARGS__);                                  \
        else                                                                             \
            ::cnpd::engine::no_such_backend((device), #kernel);                          \
    } while (false)

// Calls the kernel of this name of the device's backend: CNPD_RUN(x.device(), add, px, py, n, pz).
#define CNPD_RUN(device, kernel, ...)                         \
    do {                                                      \
        if ((device).backend == ::cnpd::engine::Backend::cpu) \
            ::cnpd::kernels::cpu::kernel(__VA_ARGS__);        \
        else                                                  \
            CNPD_RUN_ON_GPU(device, kernel, __VA_ARGS__);     \
    } while (false)

// The same for a kernel on activations (kernels/common/activation.h). In the arguments T is the
// element type of the tensor `x`: float, or on a GPU bfloat16.
//     CNPD_RUN_AS(x, add, x.data<T>(), y.data<T>(), x.elements(), z.data<T>())
//
#define CNPD_RUN_AS(x, kernel, ...)                                                    \
    do {                                                                               \
        if ((x).dtype() == ::cnpd::engine::DType::bfloat16) {                          \
            using T [[maybe_unused]] = ::cnpd::kernels::bfloat16;                      \
            if ((x).device().backend == ::cnpd::engine::Backend::cpu)                  \
                ::cnpd::engine::no_such_backend((x).device(), #kernel " of bfloat16"); \
            CNPD_RUN_ON_GPU((x).device(), kernel, __VA_ARGS__);                        \
        } else {                                                                       \
            using T = float;                                                           \
            CNPD_RUN((x).device(), kernel, __VA_ARGS__);                               \
        }                                                                              \
    } while (false)
