// Runs kernels on the host: the blocks of a grid one after the other or a few at a time, each CUDA
// thread of their blocks as a fiber (Boost.Context). A thread runs until it waits for others; then
// a thread that can continue is chosen at random from a seed. Code that lacks a barrier therefore
// gives different results for different seeds, and the same results in every run with one seed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/common/error.h"
#include "kernels/emulator/cuda.h"

namespace cnpd::kernels::emulator {

// A kernel violated a rule of CUDA; what() names kernel, block and thread.
class KernelFault : public Error {
    using Error::Error;
};

struct Launch {
    const char* name;  // of the kernel, for messages and traces
    dim3 grid, block;
    std::size_t dynamic_shared = 0;  // bytes
    unsigned cluster = 1;            // neighbouring blocks in x that run at the same time
};

// Called by every thread of a grid.
struct Kernel {
    void (*call)(const void* closure);
    const void* closure;
    void operator()() const { call(closure); }
};

// Calls `kernel` once for every thread of the grid and returns when all have ended. Throws
// KernelFault: a barrier that not all threads of the block reach, lanes of a warp that call
// different collectives, a block of more than 1024 threads, and all faults that memory_checks.cpp
// finds.
void launch(const Launch& launch, const Kernel& kernel);

// The running block's dynamic shared memory.
void* dynamic_shared();

// How many blocks of a grid run at the same time from now on, in launches of this host thread;
// $CNPD_EMULATOR_BLOCKS, or 1. (A cluster always runs as a whole.) With more than one, their
// threads take turns, and the order of their accesses to global memory is checked.
void set_blocks_at_once(unsigned blocks);

// Seed for the order of threads in the launches of this host thread; $CNPD_EMULATOR_SEED, or 0.
void set_seed(std::uint64_t seed);

}  // namespace cnpd::kernels::emulator
