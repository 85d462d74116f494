// State of the block that runs on this host thread, shared by the parts of the emulator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/emulator/block.h"

namespace cnpd::kernels::emulator {

struct BlockState {
    const Launch* launch = nullptr;  // null: no kernel runs
    unsigned rank = 0;               // of the running thread in its block
    // Number of barriers passed so far; they order the threads' accesses to shared memory.
    std::uint32_t block_epoch = 0;
    std::vector<std::uint32_t> warp_epoch;
    std::uint32_t serial = 0;  // of this block among all that ever ran
    std::byte* dynamic_shared = nullptr;
    std::string fault;  // the first one, empty: none
};

// Of this host thread.
BlockState& block_state();

// Whether this address is on the stack of a thread of the running block.
bool on_stack_of_thread(const void* address);

// "(x, y, z)" of the thread of this rank.
std::string thread_name(unsigned rank);

}  // namespace cnpd::kernels::emulator
