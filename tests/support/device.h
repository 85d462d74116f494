// The GPU, real or emulated, for tests.
#pragma once

#include <cstdlib>
#include <utility>
#include <vector>

#ifdef CNPD_HAS_CUDA
#include "kernels/common/gpu.h"
#endif

namespace cnpd::tests {

// Whether this run tests only the GPU: a build for CUDA runs its tests a second time in this mode
// (ctest's cuda/...); they are skipped if there is no GPU.
inline bool only_on_device() {
    return std::getenv("CNPD_TEST_CUDA") != nullptr;
}

#ifdef CNPD_HAS_CUDA
// An array in device memory.
template <typename T>
class DeviceArray {
  public:
    explicit DeviceArray(const std::vector<T>& values) : count_(values.size()) {
        data_ = static_cast<T*>(kernels::gpu::allocate(bytes()));
        set(values);
    }
    explicit DeviceArray(std::size_t count) : DeviceArray(std::vector<T>(count)) {}
    ~DeviceArray() { kernels::gpu::release(data_); }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;

    T* data() const { return data_; }
    std::size_t size() const { return count_; }
    std::size_t bytes() const { return count_ * sizeof(T); }
    void set(const std::vector<T>& values) {
        kernels::gpu::copy_to_device(data_, values.data(), bytes());
    }
    std::vector<T> to_host() const {
        std::vector<T> values(count_);
        kernels::gpu::copy_to_host(values.data(), data_, bytes());
        return values;
    }

  private:
    std::size_t count_;
    T* data_ = nullptr;
};
#endif

}  // namespace cnpd::tests
