// Counts what a launch does to memory the way the hardware would: sectors of global memory for each
// access of a warp, wavefronts of shared memory.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace cnpd::kernels::emulator {

struct MemoryCounts {
    // Global memory: one request is the same load or store of a warp's threads; it moves sectors of
    // 32 bytes. `bytes` is what the threads asked for, so bytes / 32 is the least number of
    // sectors.
    std::int64_t load_requests = 0, load_sectors = 0, load_bytes = 0;
    std::int64_t store_requests = 0, store_sectors = 0, store_bytes = 0;
    // Shared memory: 32 banks of 4 bytes. A request needs at least one wavefront (of 8-byte
    // accesses two, of 16-byte four), and one more for every further word in the same bank.
    std::int64_t shared_requests = 0, shared_wavefronts = 0, shared_least_wavefronts = 0;

    std::int64_t bank_conflicts() const { return shared_wavefronts - shared_least_wavefronts; }
};

// While one of these lives on a host thread, the launches of that thread are counted. Costs time.
class Trace {
  public:
    Trace();
    ~Trace();
    Trace(const Trace&) = delete;
    Trace& operator=(const Trace&) = delete;

    // By the names of the kernels.
    const std::map<std::string, MemoryCounts>& counts() const { return counts_; }

    struct Access {
        const void* address;
        std::size_t bytes;
        bool write, shared;
        const void* code;  // where in the program
    };
    void access(const Access& access);
    void block_end(const char* kernel);
    static Trace* current();

  private:
    // The accesses that a warp's threads make in one step: from the same place in the program, each
    // thread for the same time.
    using Step = std::tuple<unsigned /*warp*/, const void* /*code*/, std::uint32_t /*time*/>;
    struct Together {
        std::size_t bytes;
        bool write, shared;
        std::vector<std::pair<unsigned /*lane*/, std::uintptr_t>> addresses;
    };
    std::map<Step, Together> steps_;
    std::map<std::pair<unsigned /*rank*/, const void*>, std::uint32_t> times_;
    std::map<std::string, MemoryCounts> counts_;
};

}  // namespace cnpd::kernels::emulator
