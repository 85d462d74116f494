// A stack for CUDA threads that run one after the other.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace cnpd::kernels::emulator {

// Tells AddressSanitizer which stack is in use: constructed before a switch to another stack,
// destroyed when this one runs again.
class StackSwitch {
  public:
#if defined(__SANITIZE_ADDRESS__)
    StackSwitch(const void* bottom, std::size_t bytes) {
        __sanitizer_start_switch_fiber(&fake_, bottom, bytes);
    }
    ~StackSwitch() {
        __sanitizer_finish_switch_fiber(fake_, nullptr, nullptr);
    }
    static void arrive(const void** from, std::size_t* bytes) {
        __sanitizer_finish_switch_fiber(nullptr, from, bytes);
    }
    static void leave(const void* bottom, std::size_t bytes) {
        __sanitizer_start_switch_fiber(nullptr, bottom, bytes);
    }

  private:
    void* fake_ = nullptr;
#else
    StackSwitch(const void*, std::size_t) {}
    ~StackSwitch() {}
    static void arrive(const void**, std::size_t*) {}
    static void leave(const void*, std::size_t) {}
#endif
};

class Worker {
  public:
    // `body` is called when the worker runs for the first time.
    template <typename Body>
    explicit Worker(Body body) {
        boost::context::protected_fixedsize_stack allocator(kStackBytes);
        const boost::context::stack_context stack = allocator.allocate();
        bytes_ = stack.size;
        bottom_ = static_cast<std::byte*>(stack.sp) - bytes_;
        fiber_ = boost::context::fiber(std::allocator_arg,
                                       boost::context::preallocated(stack.sp, stack.size, stack),
                                       allocator, body);
    }
    ~Worker() {
        const StackSwitch there(bottom_, bytes_);
        fiber_ = {};  // unwinds its frames
    }
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    bool holds(const void* address) const {
        return static_cast<std::size_t>(static_cast<const std::byte*>(address) - bottom_) < bytes_;
    }
    void resume() {
        const StackSwitch there(bottom_, bytes_);
        fiber_ = std::move(fiber_).resume();
    }

  private:
    static constexpr std::size_t kStackBytes = 256 << 10;

    boost::context::fiber fiber_;
    const std::byte* bottom_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace cnpd::kernels::emulator
