// State of the blocks that run on this host thread, shared by the parts of the emulator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/emulator/block.h"

namespace cnpd::kernels::emulator {

constexpr std::size_t kAsyncCopyBytes = 16;
constexpr std::size_t kMostShared = 227 << 10;  // bytes a block can have on Hopper

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

// When a thread did something.
struct Stamp {
    // Number of barriers passed before.
    std::uint32_t block_epoch, warp_epoch;
    std::uint32_t arrivals;  // at barriers in shared memory
};

struct BlockState {
    uint3 index{};
    unsigned rank_in_cluster = 0;
    std::uint32_t serial = 0;  // of this block among all that ever ran
    // Number of barriers passed so far; they order the threads' accesses to shared memory.
    std::uint32_t block_epoch = 0;
    std::vector<std::uint32_t> warp_epoch;
    std::byte* dynamic_shared = nullptr;
    // Of each thread.
    std::vector<std::uint32_t> time;  // its arrivals at barriers in shared memory
    std::vector<std::vector<Stamp>> fences;
    std::vector<ThreadCopies> copies;
    std::shared_ptr<Shadow> shadow;
    std::shared_ptr<HopperState> hopper;
};

// A thread that accesses memory, perhaps another block's.
struct Actor {
    BlockState* block;
    unsigned rank;
};

inline Stamp stamp_of(const BlockState& block, unsigned rank) {
    return {block.block_epoch, block.warp_epoch[rank / kWarp], block.time[rank]};
}

// What this host thread runs now.
struct Running {
    const Launch* launch = nullptr;  // null: no kernel
    BlockState* block = nullptr;
    unsigned rank = 0;  // of the thread in its block
    unsigned blocks_at_once = 1;
    bool checks_global = false;  // global_checks.h
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

// All threads of the blocks of the running block's cluster.
void cluster_barrier(std::source_location where);

// Asynchronous work: is done in this block at a random moment, or when no thread can continue.
void later(BlockState& block, std::function<void()> work);

// Barriers of a block, a warp and a cluster order what barriers in shared memory ordered before
// (hopper_barriers.cpp).
void order_block(BlockState& block);
void order_lanes(BlockState& block, unsigned warp, unsigned mask);
void order_cluster(std::span<BlockState* const> blocks);
// By all lanes of this warp of the running block: groups of products that are complete.
void know_products(unsigned warp, std::uint32_t groups);
// Reports products that were not waited for.
void check_products_at_end(const BlockState& block);

// The running thread starts a write to shared memory that continues while it runs; it ends when the
// thread has waited for it. Any access in between is reported.
void begin_async_write(const void* address, std::size_t bytes, const void* code);
void end_of_async_write(const void* address, std::size_t bytes);

// A copy of a box, started by a thread, writes to shared memory of the running block.
void begin_box_write(const std::byte* to, std::size_t bytes, const Actor& by, std::uint32_t copy);

// A product of the running thread reads shared memory: reports stores that are not ordered before
// it, or after which the writing thread has not called fence_proxy_async().
void check_async_read(const std::byte* address, std::size_t bytes);
// Whether stores have written to these 128 bytes.
bool is_written_by_stores(const std::byte* line);

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
