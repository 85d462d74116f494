// Runs the blocks of a launch: chooses a thread that can continue until all have ended.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/emulator/shadow.h"
#include "kernels/emulator/state.h"
#include "kernels/emulator/thread_block.h"

namespace cnpd::kernels::emulator {

// Blocks that run at the same time and can access each other's shared memory; usually one.
struct Cluster {
    std::vector<std::unique_ptr<ThreadBlock>> blocks;
    unsigned at_barrier = 0;
};

// Work that a thread has started and that the hardware does later.
struct Async {
    ThreadBlock* block;
    std::function<void()> work;
};

class Scheduler {
  public:
    void run(const Launch& launch, const Kernel& kernel);

    void block_barrier(std::source_location where);
    void warp_barrier(unsigned mask, std::source_location where);
    void cluster_barrier(std::source_location where);
    void later(BlockState& block, std::function<void()> work);
    void sleep_on(const void* key);
    // True for the last lane to arrive.
    bool collective(unsigned mask, Combine combine, void* mine);
    bool on_stack_of_thread(const void* address) const;
    void enter(BlockState& block);
    void select(unsigned rank);
    Cluster& cluster() { return *cluster_of(*current()); }
    ThreadBlock* current() { return static_cast<ThreadBlock*>(running.block); }
    void set_seed(std::uint64_t seed) {
        random_ = seed * 0x9E3779B97F4A7C15u + 0x632BE59BD9B4E019u;
    }
    // One, if the static variables of several blocks cannot be exchanged.
    void set_blocks_at_once(unsigned blocks) {
        blocks_at_once_ = kSeesPlainAccesses ? std::max(1u, blocks) : 1;
    }
    // xorshift64*; good enough for the order of threads.
    std::uint64_t draw(std::uint64_t bound);

    std::string fault;  // the first one, empty: none

  private:
    void run_blocks();
    void start_clusters();
    void start_cluster();
    void end_clusters();
    ThreadBlock* choose();
    Cluster* cluster_of(const BlockState& block);
    void resume(ThreadBlock& block, unsigned thread);
    boost::context::fiber work(boost::context::fiber&& scheduler);
    void leave();
    void run_threads();
    void wait();
    void report_stuck();
    void do_async(std::size_t which);
    std::unique_ptr<Worker> worker();

    const Kernel* kernel_ = nullptr;
    unsigned threads_ = 0, blocks_at_once_ = 1;
    std::uint64_t next_block_ = 0, block_count_ = 0;
    std::size_t skipped_ = 0;  // see SharedMemory
    std::vector<std::unique_ptr<Cluster>> alive_;
    std::vector<Async> async_;
    std::vector<std::unique_ptr<ThreadBlock>> unused_;
    std::vector<std::unique_ptr<Worker>> idle_;
    const Worker* worker_ = nullptr;  // the running one
    boost::context::fiber scheduler_;
    const void* host_stack_ = nullptr;
    std::size_t host_stack_bytes_ = 0;
    std::uint64_t random_ = 1;
};

// Of this host thread.
Scheduler& scheduler();

}  // namespace cnpd::kernels::emulator
