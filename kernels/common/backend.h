// One kernel contract for every backend.
#pragma once

// Before functions that are called by kernels and by the host.
#ifdef __CUDACC__
#define CNPD_HOST_DEVICE __host__ __device__
#else
#define CNPD_HOST_DEVICE
#endif

namespace cnpd::kernels {

// The GPU backend of this build: `cuda::` functions exist for a real GPU (-DCNPD_CUDA=ON), for the
// emulated one (-DCNPD_CUDA=EMULATE), or not at all.
enum class GpuBackend { none, real, emulated };
#if defined(CNPD_REAL_CUDA)
inline constexpr GpuBackend kGpuBackend = GpuBackend::real;
#elif defined(CNPD_EMULATED)
inline constexpr GpuBackend kGpuBackend = GpuBackend::emulated;
#else
inline constexpr GpuBackend kGpuBackend = GpuBackend::none;
#endif

}  // namespace cnpd::kernels

// Declares a kernel once for each backend: `reference::f` (plain loops, sums in double, for tests
// to compare with), `cpu::f` and `cuda::f` (for a real or emulated GPU, depending on the build).
// The comment above the declaration holds for all three. Pointers are device pointers of that
// backend; work on cuda is enqueued on the calling thread's current stream.
#define CNPD_KERNEL(...)  \
    namespace reference { \
    __VA_ARGS__;          \
    }                     \
    namespace cpu {       \
    __VA_ARGS__;          \
    }                     \
    namespace cuda {      \
    __VA_ARGS__;          \
    }
