// State of the block that runs on this host thread, shared by the parts of the emulator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/emulator/block.h"

namespace cnpd::kernels::emulator {

constexpr std::size_t kAsyncCopyBytes = 16;

// A copy that a thread has started and not yet waited for.
struct ThreadCopy {
    std::byte* to;
    const std::byte* from;  // null: zeros
    std::int64_t group;
    bool done;
};
struct ThreadCopies {
    std::vector<ThreadCopy> copies;
    std::int64_t groups = 0;  // committed so far
};

struct BlockState {
    const Launch* launch = nullptr;  // null: no kernel runs
    unsigned rank = 0;               // of the running thread in its block
    // Number of barriers passed so far; they order the threads' accesses to shared memory.
    std::uint32_t block_epoch = 0;
    std::vector<std::uint32_t> warp_epoch;
    std::uint32_t serial = 0;  // of this block among all that ever ran
    std::byte* dynamic_shared = nullptr;
    std::vector<ThreadCopies> copies;  // of each thread
    std::string fault;                 // the first one, empty: none
};

// Of this host thread.
BlockState& block_state();

// A random number less than `bound`, from the seed.
std::uint64_t draw(std::uint64_t bound);

// The running thread starts a write to shared memory that continues while it runs; it ends when the
// thread has waited for it. Any access in between is reported.
void begin_async_write(const void* address, std::size_t bytes, const void* code);
void end_of_async_write(const void* address, std::size_t bytes);

// Whether this address is on the stack of a thread of the running block.
bool on_stack_of_thread(const void* address);

// "(x, y, z)" of the thread of this rank.
std::string thread_name(unsigned rank);

}  // namespace cnpd::kernels::emulator
