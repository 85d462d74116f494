// What the emulator knows about a block's barriers in shared memory, its copies of boxes and its
// warps' products.
//
// Barriers in shared memory order the accesses of threads: everything before an arrival happens
// before everything after a wait for the end of its phase. Each thread therefore carries its
// `Knowledge`, which an arrival adds to the barrier and a wait takes from it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "kernels/emulator/hopper.h"
#include "kernels/emulator/state.h"
#include "kernels/emulator/warp.h"

namespace cnpd::kernels::emulator {

// What has certainly happened, of all blocks of a cluster.
struct Knowledge {
    std::vector<std::uint32_t> of_thread;   // number of its arrivals
    std::vector<std::uint32_t> of_barrier;  // number of its phases that have ended
    std::vector<std::uint32_t> of_warp;     // number of its groups of products that are complete

    void add(const Knowledge& other);
    bool empty() const { return of_thread.empty() && of_barrier.empty() && of_warp.empty(); }
};

struct BarrierRecord {
    std::size_t index = 0;     // in Knowledge::of_barrier
    std::uint32_t phases = 0;  // that have ended
    unsigned initialised_by = 0;
    bool published = false;
    Knowledge arrived;  // in the current phase
    Knowledge over;     // of all earlier phases
};

// A box on its way to a block.
struct BoxCopy {
    std::size_t barrier = 0;  // index
    std::uint32_t phase = 0;  // in which it was complete
    bool in_flight = true;
};

constexpr std::size_t kLineBytes = 128, kMostWarps = 32;

// 128 bytes of dynamic shared memory.
struct Line {
    std::uint32_t copy = 0;                        // number of the last copy that wrote it; 0: none
    std::array<std::uint32_t, kMostWarps> read{};  // the last group of each warp that reads it
};

struct Product {
    std::uint64_t id;
    std::uint64_t a, b;  // descriptors
    bool add, transposed;
    std::uint32_t group;
    std::array<float*, kWarp> sum;  // of each lane
};

// Registers that products will change.
struct Sums {
    std::array<float, 64> values;
    std::uint32_t group = 0;  // the last one that changes them
};

struct WarpProducts {
    std::deque<Product> queue;  // not complete, in order
    std::uint32_t groups = 0;   // committed
    std::uint64_t next_id = 1;
    std::map<float*, Sums> in_flight;  // by the address of a lane's registers
    unsigned fenced = 0;               // lanes that have called begin_products
};

struct HopperState {
    explicit HopperState(const BlockState& block);

    std::map<const void*, BarrierRecord> barriers;
    Knowledge common;  // of all threads: what they knew at the last barrier of the block
    std::vector<Knowledge> known;  // more, of each thread
    std::vector<BoxCopy> copies;   // [0] is unused
    std::vector<Line> lines;
    std::vector<WarpProducts> warps;
};

HopperState& hopper_state(BlockState& block);

// Whether this thread knows that ...
bool knows_arrivals(const Actor& who, const BlockState& of, unsigned rank, std::uint32_t time);
bool knows_copy(const Actor& who, const BlockState& to, std::uint32_t copy);
bool knows_products(const Actor& who, const BlockState& of, unsigned warp, std::uint32_t group);

// The barrier's record in the running block; reports if it is not initialised.
BarrierRecord* barrier_record(const hopper::Barrier& barrier);
void write_completes(hopper::Barrier& barrier, std::int32_t bytes);

// At shared_address() 0 of the running block.
std::byte* shared_base();

}  // namespace cnpd::kernels::emulator
