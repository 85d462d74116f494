// The asynchronous copies of kernels/common/async_copy.h. A copy is carried out at a random moment
// between its start and the wait for its group. Until that wait, every access to its target is a
// fault.
#pragma once

namespace cnpd::kernels {

void copy_16_bytes(void* to_shared, const void* from, bool exists = true);
void commit_copies();

namespace emulator {
void wait_for_copy_groups(int pending);
}

template <int Pending>
void wait_for_copies() {
    emulator::wait_for_copy_groups(Pending);
}

}  // namespace cnpd::kernels
