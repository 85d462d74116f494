// For tests: graphs whose recording fails.
#pragma once

#include <cstdint>

namespace cnpd::kernels::emulator {

// The next graph of this thread that records a launch fails after so many launches with
// std::bad_alloc, as if device memory had run out; later graphs do not. A negative number: none
// fails.
void fail_capture_after(std::int64_t launches);

}  // namespace cnpd::kernels::emulator
