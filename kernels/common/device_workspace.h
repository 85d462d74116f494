// Scratch memory on the device for one kernel call.
#pragma once

#include <cstddef>

namespace cnpd::kernels {

// Uninitialised device memory, aligned to 256 bytes. At the end of the scope it returns to a pool
// of the thread's current stream and may be reused at once, because its next user is enqueued later
// on the same stream. The pool never shrinks, so that graphs may refer to it.
class DeviceWorkspace {
  public:
    explicit DeviceWorkspace(std::size_t bytes);
    ~DeviceWorkspace();
    DeviceWorkspace(const DeviceWorkspace&) = delete;
    DeviceWorkspace& operator=(const DeviceWorkspace&) = delete;

    void* data() const { return data_; }
    template <typename T>
    T* as() const {
        return static_cast<T*>(data_);
    }
    float* floats() const { return as<float>(); }

  private:
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace cnpd::kernels
