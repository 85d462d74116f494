// State of the blocks that run on this host thread, shared by the parts of the emulator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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

struct Shadow;       // who accessed its shared memory: memory_checks.cpp
struct HopperState;  // its barriers in shared memory: hopper.cpp

struct BlockState {
    uint3 index{};
    unsigned rank_in_cluster = 0;
    std::uint32_t serial = 0;  // of this block among all that ever ran
    // Number of barriers passed so far; they order the threads' accesses to shared memory.
    std::uint32_t block_epoch = 0;
    std::vector<std::uint32_t> warp_epoch;
    std::byte* dynamic_shared = nullptr;
    std::vector<ThreadCopies> copies;  // of each thread
    std::shared_ptr<Shadow> shadow;
    std::shared_ptr<HopperState> hopper;
};

// What this host thread runs now.
struct Running {
    const Launch* launch = nullptr;  // null: no kernel
    BlockState* block = nullptr;
    unsigned rank = 0;  // of the thread in its block
};
extern constinit thread_local Running running;

// Whether the running launch has ended with a fault.
bool is_faulty();

// A random number less than `bound`, from the seed.
std::uint64_t draw(std::uint64_t bound);

// The block of this rank in the running block's cluster; null if it has ended, or there is none.
BlockState* block_of_rank(unsigned rank_in_cluster);

// While it exists, another block of the cluster is the running one: its static shared variables are
// in place.
class InBlock {
  public:
    explicit InBlock(BlockState& block);
    ~InBlock();
    InBlock(const InBlock&) = delete;
    InBlock& operator=(const InBlock&) = delete;

  private:
    BlockState* before_;
};

// The running thread waits until wake() is called with this key in its block.
void sleep_on(const void* key);
void wake(const void* key);

// All threads of the blocks of the running block's cluster. `last` is called once, by the last
// thread to arrive, before the others continue.
void cluster_barrier(std::source_location where, const std::function<void()>& last);

// The running thread starts a write to shared memory that continues while it runs; it ends when the
// thread has waited for it. Any access in between is reported.
void begin_async_write(const void* address, std::size_t bytes, const void* code);
void end_of_async_write(const void* address, std::size_t bytes);

// Shared memory that only the emulator accesses, not the kernel's own code.
void claim_shared(const void* address, std::size_t bytes);

// `__shared__` variables are static in emulated code: all blocks have them at the same address. If
// several blocks run at a time, each one's values are put aside while another block runs.
void put_statics_aside(BlockState& block);
void put_statics_back(BlockState& block);

// Whether this address is on the stack of a thread of the running block.
bool on_stack_of_thread(const void* address);

// "(x, y, z)" of the thread of this rank.
std::string thread_name(unsigned rank);

}  // namespace cnpd::kernels::emulator
