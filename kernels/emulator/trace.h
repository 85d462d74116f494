// Counts the memory traffic of a launch as the hardware would cause it: sectors of global memory
// for each access of a warp, wavefronts of shared memory.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace cnpd::kernels::emulator {

struct MemoryCounts {
    // Global memory: one request is the same load or store of a warp's threads; it moves sectors of
    // 32 bytes. `bytes` is the number of bytes that the threads access, so bytes / 32 is the
    // minimal number of sectors.
    std::int64_t load_requests = 0, load_sectors = 0, load_bytes = 0;
    std::int64_t store_requests = 0, store_sectors = 0, store_bytes = 0;
    // Shared memory: 32 banks of 4 bytes. A request needs at least one wavefront (8-byte accesses
    // two, 16-byte accesses four), and one more for every further word in the same bank.
    std::int64_t shared_requests = 0, shared_wavefronts = 0, shared_least_wavefronts = 0;

    // What asynchronous copies, whose data pass through no registers, read from global memory (a
    // multicast once). cp.async is in the requests above as well, boxes are not.
    std::int64_t copied_bytes = 0;

    // Times that all threads of a block, or all lanes of a warp, have met at a barrier.
    std::int64_t barriers = 0;

    std::int64_t bank_conflicts() const { return shared_wavefronts - shared_least_wavefronts; }
};

// Counts the launches of this host thread during the object's lifetime. Slows them down.
class Trace {
  public:
    Trace();
    ~Trace();
    Trace(const Trace&) = delete;
    Trace& operator=(const Trace&) = delete;

    // By kernel name.
    const std::map<std::string, MemoryCounts>& counts() const { return counts_; }
    void barrier(const char* kernel) { ++counts_[kernel].barriers; }
    void copy(const char* kernel, std::int64_t bytes) { counts_[kernel].copied_bytes += bytes; }

    struct Access {
        const void* address;
        std::size_t bytes;
        bool write, shared;
        const void* code;  // address in the program
    };
    void access(const Access& access);
    void block_end(const char* kernel, std::uint32_t block);
    static Trace* current();

  private:
    // The accesses that a warp's threads make in one step: the same place in the program and the
    // same repetition in each thread.
    using Step = std::tuple<std::uint32_t /*block*/, unsigned /*warp*/, const void* /*code*/,
                            std::uint32_t /*time*/>;
    struct Together {
        std::size_t bytes;
        bool write, shared;
        std::vector<std::pair<unsigned /*lane*/, std::uintptr_t>> addresses;
    };
    using Thread = std::tuple<std::uint32_t /*block*/, unsigned /*rank*/, const void* /*code*/>;
    std::map<Step, Together> steps_;
    std::map<Thread, std::uint32_t> times_;
    std::map<std::string, MemoryCounts> counts_;
};

}  // namespace cnpd::kernels::emulator
