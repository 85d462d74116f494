// Calls a kernel on every backend of the build.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace cnpd::tests {

// The memory of a backend's kernels.
enum class Memory { host, device };

// A buffer, or nothing.
template <typename T>
struct OptionalBuffer {
    T* data = nullptr;
    T* begin = nullptr;  // of the enclosing buffer
    std::size_t count = 0;
};
template <typename T>
OptionalBuffer<T> if_wanted(bool wanted, std::vector<T>& buffer) {
    if (!wanted) return {};
    return {buffer.data(), buffer.data(), buffer.size()};
}
template <typename T>
OptionalBuffer<const T> if_wanted(bool wanted, const std::vector<T>& buffer) {
    if (!wanted) return {};
    return {buffer.data(), buffer.data(), buffer.size()};
}

#ifdef CNPD_HAS_CUDA
// A test's buffer on the device during a call, guards included.
class DeviceCopy {
  public:
    DeviceCopy(const void* host, std::size_t bytes) : host_(host), bytes_(bytes) {
        memory_ = kernels::gpu::allocate(std::max<std::size_t>(1, bytes));
        kernels::gpu::copy_to_device(memory_, host, bytes);
    }
    ~DeviceCopy() { kernels::gpu::release(memory_); }
    DeviceCopy(const DeviceCopy&) = delete;
    DeviceCopy& operator=(const DeviceCopy&) = delete;

    const void* host() const { return host_; }
    void* memory() const { return memory_; }
    void copy_back() const {
        kernels::gpu::copy_to_host(const_cast<void*>(host_), memory_, bytes_);
    }

  private:
    const void* host_;
    std::size_t bytes_;
    void* memory_ = nullptr;
};
#endif

// An argument that contains pointers: make(staging) returns it, with buffers that it passes through
// `staging`.
//     run(staged([&](Staging& staging) { return Labels{staging.pass(first), nullptr}; }), out);
template <typename Make>
struct Staged {
    Make make;
};
template <typename Make>
Staged<Make> staged(Make make) {
    return {std::move(make)};
}

// The memory of one call. A buffer that is passed twice is staged once.
class Staging {
  public:
    explicit Staging(Memory memory) : memory_(memory) {}
    Memory memory() const { return memory_; }

    // The kernel's argument: buffers become pointers, other values are passed on.
    template <typename T>
    const T& pass(const T& argument) {
        return argument;
    }
    template <typename Make>
    auto pass(const Staged<Make>& argument) {
        return argument.make(*this);
    }
    template <typename T>
    T* pass(std::vector<T>& buffer) {
        return place(buffer.data(), buffer.data(), buffer.size(), true);
    }
    template <typename T>
    const T* pass(const std::vector<T>& buffer) {
        return place(buffer.data(), buffer.data(), buffer.size(), false);
    }
    template <typename T>
    T* pass(Guarded<T>& buffer) {
        return place(buffer.data(), buffer.storage().data(), buffer.storage().size(), true);
    }
    template <typename T>
    const T* pass(const Guarded<T>& buffer) {
        return place(buffer.data(), buffer.storage().data(), buffer.storage().size(), false);
    }
    template <typename T>
    T* pass(const OptionalBuffer<T>& buffer) {
        if (!buffer.data) return nullptr;
        return place(buffer.data, buffer.begin, buffer.count, !std::is_const_v<T>);
    }

    // After the kernel: copies the results back.
    void finish() {
#ifdef CNPD_HAS_CUDA
        if (memory_ == Memory::device) kernels::gpu::synchronize();
        for (const DeviceCopy* copy : written_) copy->copy_back();
#endif
    }

  private:
    // The kernel's pointer for `data`, a part of [begin, begin + count).
    template <typename T>
    T* place(T* data, [[maybe_unused]] std::type_identity_t<const T*> begin,
             [[maybe_unused]] std::size_t count, [[maybe_unused]] bool written) {
#ifdef CNPD_HAS_CUDA
        if (memory_ == Memory::device) {
            auto& copy = copies_[begin];
            if (!copy) copy = std::make_unique<DeviceCopy>(begin, count * sizeof(T));
            if (written) written_.insert(copy.get());
            return static_cast<T*>(copy->memory()) + (data - begin);
        }
#endif
        return data;
    }

    Memory memory_;
#ifdef CNPD_HAS_CUDA
    std::map<const void*, std::unique_ptr<DeviceCopy>> copies_;
    std::set<const DeviceCopy*> written_;
#endif
};

// A kernel's function of one backend. Called with the kernel's arguments, with std::vector and
// Guarded in place of pointers; returns when the results are available.
template <typename Function>
struct Implementation {
    std::string backend;  // doctest prints the address of a const char*
    Function* function;
    Memory memory;

    // Whether so many multiplications would take the emulator too long for a test.
    bool too_slow_for(std::int64_t multiplications) const {
        return backend == "emulated" && multiplications > 5'000'000;
    }

    template <typename... Arguments>
    void operator()(Arguments&&... arguments) const {
        Staging staging(memory);
        function(staging.pass(arguments)...);
        staging.finish();
    }
};

template <typename Function>
Implementation<Function> reference_implementation(Function* function) {
    return {"reference", function, Memory::host};
}

// On the device, if there is one.
template <typename Function>
std::vector<Implementation<Function>> device_implementations([[maybe_unused]] Function* cuda) {
    std::vector<Implementation<Function>> all;
#ifdef CNPD_EMULATED
    all.push_back({"emulated", cuda, Memory::device});
#elif defined(CNPD_REAL_CUDA)
    if (kernels::gpu::device_count() > 0) all.push_back({"cuda", cuda, Memory::device});
#endif
    return all;
}

template <typename Function>
std::vector<Implementation<Function>> implementations(Function* cpu,
                                                      [[maybe_unused]] Function* cuda) {
    std::vector<Implementation<Function>> all = device_implementations(cuda);
    if (!only_on_device()) all.insert(all.begin(), {"cpu", cpu, Memory::host});
    return all;
}

template <typename Function>
std::vector<Implementation<Function>> with_reference(Function* reference,
                                                     std::vector<Implementation<Function>> others) {
    others.insert(others.begin(), reference_implementation(reference));
    return others;
}

// For kernels with one input and one output buffer: run(shape, input, output).
template <typename Function, typename Shape>
void check_outputs(const std::vector<Implementation<Function>>& implementations, const Shape& shape,
                   const std::vector<float>& input, const Guarded<float>& expected, double rtol,
                   double atol, const char* what) {
    for (const auto& run : implementations) {
        INFO(run.backend);
        Guarded<float> actual(expected.size());
        run(shape, input, actual);
        check_close(actual, expected, rtol, atol, what);
        CHECK(actual.intact());
    }
}

}  // namespace cnpd::tests

// Every backend's function of this name:
//     for (const auto& run : CNPD_IMPLEMENTATIONS(add)) { INFO(run.backend); run(x, y, n, z); }
#ifdef CNPD_HAS_CUDA
#define CNPD_DEVICE_FUNCTION(kernel, otherwise) &::cnpd::kernels::cuda::kernel
#else
#define CNPD_DEVICE_FUNCTION(kernel, otherwise) otherwise
#endif
#define CNPD_IMPLEMENTATIONS(kernel)                              \
    ::cnpd::tests::implementations(&::cnpd::kernels::cpu::kernel, \
                                   CNPD_DEVICE_FUNCTION(kernel, &::cnpd::kernels::cpu::kernel))
// For a kernel of activations, which the CPU has in float32 only: CNPD_IN_BFLOAT16(add).
#define CNPD_IN_BFLOAT16(kernel)                                        \
    ::cnpd::tests::with_reference(                                      \
        &::cnpd::kernels::reference::kernel<::cnpd::kernels::bfloat16>, \
        ::cnpd::tests::device_implementations(                          \
            CNPD_DEVICE_FUNCTION(kernel<::cnpd::kernels::bfloat16>,     \
                                 &::cnpd::kernels::reference::kernel<::cnpd::kernels::bfloat16>)))

#define CNPD_REFERENCE(kernel) \
    ::cnpd::tests::reference_implementation(&::cnpd::kernels::reference::kernel)
#define CNPD_WITH_REFERENCE(kernel) \
    ::cnpd::tests::with_reference(&::cnpd::kernels::reference::kernel, CNPD_IMPLEMENTATIONS(kernel))
