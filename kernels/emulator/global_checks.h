// Order of the accesses of different blocks to global memory.
#pragma once

#include <cstddef>

#include "kernels/emulator/shadow.h"

namespace cnpd::kernels::emulator {

// While a launch runs several blocks at a time. Reports accesses of two threads to the same bytes,
// at least one a plain write, that neither a barrier orders nor fences and an atomic: the first
// thread accesses the bytes, calls __threadfence() and uses an atomic; later the second thread uses
// an atomic on the same address, calls __threadfence() and accesses the bytes. Barriers may lie in
// between, so that other threads of the same blocks call the fences and use the atomics.
void check_global(const void* address, std::size_t bytes, Access access, const void* code);

// A launch begins: all earlier accesses happened before it.
void forget_global_accesses();

}  // namespace cnpd::kernels::emulator
