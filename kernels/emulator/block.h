// Runs kernels on the host: the blocks of a grid one after the other, each CUDA thread of a block
// as a fiber (Boost.Context). A thread runs until it waits for others, then one that can go on is
// drawn at random from a seed, so that code which lacks a barrier gives other results, and the same
// ones in every run with that seed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/common/error.h"
#include "kernels/emulator/cuda.h"

namespace cnpd::kernels::emulator {

// A kernel broke a rule of CUDA; what() names kernel, block and thread.
class KernelFault : public Error {
    using Error::Error;
};

struct Launch {
    const char* name;  // of the kernel, for messages and traces
    dim3 grid, block;
    std::size_t dynamic_shared = 0;  // bytes
};

// What every thread of a grid calls.
struct Kernel {
    void (*call)(const void* closure);
    const void* closure;
    void operator()() const { call(closure); }
};

// Calls `kernel` once for every thread of the grid and returns when all have ended. Throws
// KernelFault: a barrier that not all threads of the block reach, lanes of a warp that meet in
// different collectives, a block of more than 1024 threads, and whatever memory_checks.cpp finds.
void launch(const Launch& launch, const Kernel& kernel);

// The running block's dynamic shared memory.
void* dynamic_shared();

// Seed of the order of threads in the launches of this host thread; $CNPD_EMULATOR_SEED, or 0.
void set_seed(std::uint64_t seed);

}  // namespace cnpd::kernels::emulator
