// Copies from global to shared memory that do not pass through registers and run while the thread
// continues (cp.async; Ampere and later). A thread divides its copies into groups and waits for all
// but the last few groups. Source: PTX ISA, chapter on cp.async.
#pragma once

#include <cstdint>

#include "kernels/common/cuda.h"
#ifdef CNPD_EMULATED
#include "kernels/emulator/async_copy.h"
#endif

namespace cnpd::kernels {

#ifndef CNPD_EMULATED

// 16 bytes, both addresses aligned to 16, through the L2 cache only. If `exists` is false, 16 zero
// bytes are written and `from` is not read.
__device__ __forceinline__ void copy_16_bytes(void* to_shared, const void* from,
                                              bool exists = true) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     static_cast<std::uint32_t>(__cvta_generic_to_shared(to_shared))),
                 "l"(__cvta_generic_to_global(from)), "r"(exists ? 16 : 0)
                 : "memory");
}

// Ends a group: the thread's copies since the previous group. It may be empty.
__device__ __forceinline__ void commit_copies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until all but the thread's last `Pending` groups are complete. Only the thread itself sees
// the data then; a barrier after it makes them visible to other threads. wgmma reads them after
// hopper::fence_proxy_async() and a barrier.
template <int Pending>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

#endif

}  // namespace cnpd::kernels
