// Calling a kernel on every backend of the build.
#pragma once

#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/support/compare.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/common/gpu.h"
#endif

namespace cnpd::tests {

// Where a backend's kernels find what they work on.
enum class Memory { host, device };

#ifdef CNPD_REAL_CUDA
inline bool has_device() {
    return kernels::gpu::device_count() > 0;
}

// A buffer of a test's on the GPU for the time of a call, guards included.
template <typename T>
class OnDevice {
  public:
    OnDevice(const T* host, std::int64_t count) : host_(host), count_(count) {
        memory_ = static_cast<T*>(kernels::gpu::allocate(bytes()));
        kernels::gpu::copy_to_device(memory_, host, bytes());
    }
    ~OnDevice() { kernels::gpu::release(memory_); }
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;
    T* data() const { return memory_; }
    void copy_back(T* host) const { kernels::gpu::copy_to_host(host, memory_, bytes()); }

  private:
    std::size_t bytes() const { return std::max<std::size_t>(1, count_ * sizeof(T)); }
    const T* host_;
    std::int64_t count_;
    T* memory_ = nullptr;
};
#endif

// One argument of a kernel: vectors and guarded buffers become pointers that the backend can reach,
// all else is passed on.
template <typename Argument>
class Passed {
  public:
    Passed(Argument& argument, Memory) : argument_(argument) {}
    Argument& get() const { return argument_; }
    void finish() const {}

  private:
    Argument& argument_;
};

template <typename Buffer>
class PassedBuffer {
  public:
    using T = std::remove_pointer_t<decltype(std::declval<Buffer&>().data())>;
    PassedBuffer(Buffer& buffer, [[maybe_unused]] Memory memory) : buffer_(buffer) {
#ifdef CNPD_REAL_CUDA
        if (memory == Memory::device)
            copy_ = std::make_unique<OnDevice<std::remove_const_t<T>>>(begin(), elements());
#endif
    }
    T* get() const {
#ifdef CNPD_REAL_CUDA
        if (copy_) return copy_->data() + (buffer_.data() - begin());
#endif
        return buffer_.data();
    }
    void finish() const {
#ifdef CNPD_REAL_CUDA
        if constexpr (!std::is_const_v<T>)
            if (copy_) copy_->copy_back(const_cast<T*>(begin()));
#endif
    }

  private:
    Buffer& buffer_;
#ifdef CNPD_REAL_CUDA
    const T* begin() const {
        if constexpr (requires { buffer_.storage(); })
            return buffer_.storage().data();
        else
            return buffer_.data();
    }
    std::int64_t elements() const {
        if constexpr (requires { buffer_.storage(); })
            return static_cast<std::int64_t>(buffer_.storage().size());
        else
            return static_cast<std::int64_t>(buffer_.size());
    }
    std::unique_ptr<OnDevice<std::remove_const_t<T>>> copy_;
#endif
};
template <typename T>
class Passed<std::vector<T>> : public PassedBuffer<std::vector<T>> {
    using PassedBuffer<std::vector<T>>::PassedBuffer;
};
template <typename T>
class Passed<const std::vector<T>> : public PassedBuffer<const std::vector<T>> {
    using PassedBuffer<const std::vector<T>>::PassedBuffer;
};
template <typename T>
class Passed<Guarded<T>> : public PassedBuffer<Guarded<T>> {
    using PassedBuffer<Guarded<T>>::PassedBuffer;
};
template <typename T>
class Passed<const Guarded<T>> : public PassedBuffer<const Guarded<T>> {
    using PassedBuffer<const Guarded<T>>::PassedBuffer;
};

// A kernel's function of one backend. Called with the kernel's arguments, where std::vector and
// Guarded may stand for pointers; returns when the results are there.
template <typename Function>
struct Implementation {
    const char* backend;
    Function* function;
    Memory memory;

    // Whether so many multiplications would take the emulator longer than a test should.
    bool too_slow_for(std::int64_t multiplications) const {
        return std::string_view(backend) == "emulated" && multiplications > 5'000'000;
    }

    template <typename... Arguments>
    void operator()(Arguments&&... arguments) const {
        call(Passed<std::remove_reference_t<Arguments>>(arguments, memory)...);
    }

  private:
    template <typename... Buffers>
    void call(const Buffers&... buffers) const {
        function(buffers.get()...);
#ifdef CNPD_HAS_CUDA
        if (memory == Memory::device) kernels::gpu::synchronize();
#endif
        (buffers.finish(), ...);
    }
};

template <typename Function>
std::vector<Implementation<Function>> implementations(Function* cpu,
                                                      [[maybe_unused]] Function* cuda) {
    std::vector<Implementation<Function>> all = {{"cpu", cpu, Memory::host}};
#ifdef CNPD_REAL_CUDA
    if (has_device()) all.push_back({"cuda", cuda, Memory::device});
#elif defined(CNPD_HAS_CUDA)
    all.push_back({"emulated", cuda, Memory::host});
#endif
    return all;
}

}  // namespace cnpd::tests

// Every backend's function of this name:
//     for (const auto& run : CNPD_IMPLEMENTATIONS(add)) { INFO(run.backend); run(x, y, n, z); }
#ifdef CNPD_HAS_CUDA
#define CNPD_IMPLEMENTATIONS(kernel) \
    ::cnpd::tests::implementations(&::cnpd::kernels::cpu::kernel, &::cnpd::kernels::cuda::kernel)
#else
#define CNPD_IMPLEMENTATIONS(kernel) \
    ::cnpd::tests::implementations(&::cnpd::kernels::cpu::kernel, &::cnpd::kernels::cpu::kernel)
#endif
