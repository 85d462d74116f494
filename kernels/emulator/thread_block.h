// The threads of one block: which of them can continue, and what the others wait for.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "kernels/emulator/state.h"
#include "kernels/emulator/worker.h"

namespace cnpd::kernels::emulator {

// Memory at a multiple of 128 bytes that ends where it was requested to end, so that
// AddressSanitizer finds accesses beyond it.
class SharedMemory {
  public:
    SharedMemory() = default;
    // `skipped`: distance from a multiple of 1024 bytes.
    SharedMemory(std::size_t bytes, std::size_t skipped);
    ~SharedMemory() { ::operator delete(memory_, kAlignment); }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    std::byte* data() const { return memory_ ? memory_ + skipped_ : nullptr; }

  private:
    static constexpr std::align_val_t kAlignment{1024};
    std::byte* memory_ = nullptr;
    std::size_t skipped_ = 0;
};

struct Thread {
    std::unique_ptr<Worker> worker;  // null: not started
    void* brought = nullptr;         // argument of the collective in which it waits
    const void* sleeps_on = nullptr;
    bool waits = false, done = false;
};

class ThreadBlock : public BlockState {
  public:
    // `skipped`: see SharedMemory.
    void begin(uint3 block_index, unsigned threads, std::size_t dynamic_bytes, std::size_t skipped);
    void end();  // unwinds waiting threads

    bool finished() const { return ended_ == count_; }
    bool can_run() const { return !ready_.empty() || !not_started_.empty(); }
    unsigned next();  // a thread to run, if can_run()
    // For a stack whose thread has ended: a thread that has not started. False: the scheduler
    // decides.
    bool take_new_on_same_stack(unsigned& thread);
    Thread& thread(unsigned rank) { return threads_[rank]; }
    void thread_ended(unsigned rank);

    // The following three are called by a running thread. True: it has to wait.
    bool arrive_at_barrier();
    // Collectives: `last` is set if all lanes have arrived.
    bool arrive_at_collective(unsigned mask, Combine combine, void* mine, bool& last);
    void wait(unsigned rank) { threads_[rank].waits = true; }

    void make_ready(unsigned rank);
    void make_all_ready_except(unsigned rank);
    void wake(const void* key);
    bool holds_in_stack(const void* address) const;

    // A waiting thread and what it waits for.
    struct Stuck {
        unsigned rank;
        std::string why;
    };
    Stuck stuck() const;

  private:
    // A collective that some lanes of a warp have reached.
    struct Meeting {
        unsigned mask = 0, arrived = 0;
        Combine combine = nullptr;
    };
    bool take_new(unsigned& thread);

    unsigned count_ = 0, ended_ = 0, at_barrier_ = 0;
    std::vector<Thread> threads_;
    std::vector<std::vector<Meeting>> meetings_;  // of each warp: several where masks are disjoint
    std::vector<unsigned> not_started_, ready_;
    std::unique_ptr<SharedMemory> memory_;
};

}  // namespace cnpd::kernels::emulator
