// For tests: graphs whose recording fails.
#pragma once

#include <cstdint>

namespace cnpd::kernels::emulator {

// The next graph of this thread that records a launch after so many others fails there with
// std::bad_alloc, as if device memory had run out; those after it do not. A negative number: none.
void fail_capture_after(std::int64_t launches);

}  // namespace cnpd::kernels::emulator
