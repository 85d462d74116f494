// Faults of emulated kernels, for tests.
#pragma once

#include <string>

#include <doctest/doctest.h>

#include "kernels/common/cuda.h"

namespace cnpd::tests {

// AddressSanitizer excludes the emulator's own checks of plain accesses.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kUnchecked = true;
#else
constexpr bool kUnchecked = false;
#endif

// The message of the fault that ends the work; empty if there is none.
template <typename Work>
std::string fault_of(Work work) {
    try {
        work();
    } catch (const kernels::emulator::KernelFault& fault) {
        return fault.what();
    }
    return {};
}

inline bool contains(const std::string& text, const char* part) {
    INFO(text);
    return text.find(part) != std::string::npos;
}

}  // namespace cnpd::tests
