// Barriers in shared memory, and the order that they create.
#include <algorithm>

#include <fmt/format.h>

#include "kernels/common/hopper.h"
#include "kernels/emulator/hopper_state.h"
#include "kernels/emulator/place.h"

namespace cnpd::kernels::emulator {
namespace {

constexpr std::int32_t kMostArrivals = (1 << 20) - 1, kMostBytes = (1 << 20) - 1;

void raise(std::vector<std::uint32_t>& values, std::size_t index, std::uint32_t value) {
    if (values.size() <= index) values.resize(index + 1);
    values[index] = std::max(values[index], value);
}

void raise_all(std::vector<std::uint32_t>& values, const std::vector<std::uint32_t>& others) {
    if (values.size() < others.size()) values.resize(others.size());
    for (std::size_t i = 0; i < others.size(); ++i) values[i] = std::max(values[i], others[i]);
}

std::uint32_t at(const std::vector<std::uint32_t>& values, std::size_t index) {
    return index < values.size() ? values[index] : 0;
}

std::size_t thread_index(const BlockState& block, unsigned rank) {
    return block.rank_in_cluster * block.time.size() + rank;
}
std::size_t warp_index(const BlockState& block, unsigned warp) {
    return block.rank_in_cluster * block.warp_epoch.size() + warp;
}

// The greater of what the thread knows itself and what its whole block knows.
std::uint32_t known(const Actor& who, std::vector<std::uint32_t> Knowledge::*kind,
                    std::size_t index) {
    if (!who.block->hopper) return 0;
    const HopperState& state = *who.block->hopper;
    return std::max(at(state.common.*kind, index), at(state.known[who.rank].*kind, index));
}

Knowledge& mine() {
    return hopper_state(*running.block).known[running.rank];
}

void end_phase_if_complete(hopper::Barrier& barrier, BarrierRecord& record) {
    if (barrier.missing < 0) report("more arrivals at a barrier than its phase expects");
    if (barrier.missing != 0 || barrier.bytes != 0) return;
    barrier.phase ^= 1;
    barrier.missing = barrier.arrivals;
    ++record.phases;
    record.over.add(record.arrived);
    record.arrived = {};
    wake(&barrier);
}

// The arrival of a thread, at a barrier of the running block.
void arrive_as(const Actor& who, hopper::Barrier& barrier) {
    BarrierRecord* const record = barrier_record(barrier);
    if (!record) return;
    const HopperState& state = hopper_state(*who.block);
    record->arrived.add(state.common);
    record->arrived.add(state.known[who.rank]);
    raise(record->arrived.of_thread, thread_index(*who.block, who.rank),
          ++who.block->time[who.rank]);
    --barrier.missing;
    end_phase_if_complete(barrier, *record);
}

}  // namespace

void Knowledge::add(const Knowledge& other) {
    raise_all(of_thread, other.of_thread);
    raise_all(of_barrier, other.of_barrier);
    raise_all(of_warp, other.of_warp);
}

HopperState::HopperState(const BlockState& block)
    : known(block.time.size()),
      copies(1),
      lines(running.launch->dynamic_shared / kLineBytes + 9),
      warps(block.warp_epoch.size()) {}

HopperState& hopper_state(BlockState& block) {
    if (!block.hopper) block.hopper = std::make_shared<HopperState>(block);
    return *block.hopper;
}

bool knows_arrivals(const Actor& who, const BlockState& of, unsigned rank, std::uint32_t time) {
    return known(who, &Knowledge::of_thread, thread_index(of, rank)) > time;
}
bool knows_copy(const Actor& who, const BlockState& to, std::uint32_t copy) {
    const BoxCopy& box = to.hopper->copies[copy];
    return !box.in_flight && known(who, &Knowledge::of_barrier, box.barrier) > box.phase;
}
bool knows_products(const Actor& who, const BlockState& of, unsigned warp, std::uint32_t group) {
    return known(who, &Knowledge::of_warp, warp_index(of, warp)) >= group;
}

void order_block(BlockState& block) {
    if (!block.hopper) return;
    for (Knowledge& of_thread : block.hopper->known) {
        if (of_thread.empty()) continue;
        block.hopper->common.add(of_thread);
        of_thread = {};
    }
}

void order_lanes(BlockState& block, unsigned warp, unsigned mask) {
    if (!block.hopper) return;
    Knowledge together;
    const std::size_t first = std::size_t{warp} * kWarp;
    for (std::size_t i = 0; i < kWarp; ++i) {
        if (!(mask >> i & 1)) continue;
        together.add(block.hopper->known[first + i]);
        // What the lane has done, so that another one can arrive at a barrier for it.
        const auto rank = static_cast<unsigned>(first + i);
        raise(together.of_thread, thread_index(block, rank), ++block.time[rank]);
    }
    for (std::size_t i = 0; i < kWarp; ++i)
        if (mask >> i & 1) block.hopper->known[first + i] = together;
}

void order_cluster(std::span<BlockState* const> blocks) {
    Knowledge all;
    for (BlockState* block : blocks) {
        hopper_state(*block);
        order_block(*block);
        all.add(block->hopper->common);
        for (unsigned rank = 0; rank < block->time.size(); ++rank)
            raise(all.of_thread, thread_index(*block, rank), ++block->time[rank]);
    }
    for (BlockState* block : blocks) block->hopper->common = all;
}

void know_products(unsigned warp, std::uint32_t groups) {
    HopperState& state = hopper_state(*running.block);
    const std::size_t first = std::size_t{warp} * kWarp;
    for (std::size_t i = first; i < std::min(first + kWarp, state.known.size()); ++i)
        raise(state.known[i].of_warp, warp_index(*running.block, warp), groups);
}

BarrierRecord* barrier_record(const hopper::Barrier& barrier) {
    auto& barriers = hopper_state(*running.block).barriers;
    const auto found = barriers.find(&barrier);
    if (found != barriers.end()) return &found->second;
    report("uses a barrier in shared memory that is not initialised");
    return nullptr;
}

void write_completes(hopper::Barrier& barrier, std::int32_t bytes) {
    barrier.bytes -= bytes;
    end_phase_if_complete(barrier, *barrier_record(barrier));
}

}  // namespace cnpd::kernels::emulator

namespace cnpd::kernels::hopper {

using namespace emulator;

void init(Barrier& barrier, unsigned arrivals) {
    claim_shared(&barrier, sizeof barrier);
    const auto count = static_cast<std::int32_t>(arrivals);
    if (count < 1 || count > kMostArrivals)
        report(
            fmt::format("a barrier of {} arrivals (1 to 2^20 - 1 are possible)", arrivals).c_str());
    barrier = {count, count, 0, 0};
    BlockState& block = *running.block;
    auto& barriers = hopper_state(block).barriers;
    BarrierRecord& record = barriers[&barrier];
    record.index = (barriers.size() - 1) * running.launch->cluster + block.rank_in_cluster;
    record.initialised_by = running.rank;
    record.published = false;
}

void publish_barriers() {
    for (auto& [address, record] : hopper_state(*running.block).barriers)
        if (record.initialised_by == running.rank) record.published = true;
}

void arrive(Barrier& barrier) {
    arrive_as({running.block, running.rank}, barrier);
}

void arrive_at(Barrier& barrier, unsigned block_of_cluster) {
    const Actor me{running.block, running.rank};
    in_block_of_rank(block_of_cluster, [&, place = Place(&barrier)] {
        auto& there = place.here<Barrier>();
        if (const BarrierRecord* record = barrier_record(there); record && !record->published)
            report("arrives at another block's barrier that has not been published");
        arrive_as(me, there);
    });
}

void arrive_expecting(Barrier& barrier, unsigned bytes) {
    if (!barrier_record(barrier)) return;
    if (bytes > kMostBytes)
        report(fmt::format("a barrier expects {} bytes (2^20 - 1 are possible)", bytes).c_str());
    barrier.bytes += static_cast<std::int32_t>(bytes);
    arrive(barrier);
}

void wait(Barrier& barrier, unsigned parity) {
    while (barrier_record(barrier) && barrier.phase == parity) sleep_on(&barrier);
    const BarrierRecord* const record = barrier_record(barrier);
    if (!record) return;
    mine().add(record->over);
    raise(mine().of_barrier, record->index, record->phases);
}

unsigned block_of_cluster() {
    return running.block->rank_in_cluster;
}

void cluster_barrier(std::source_location here) {
    emulator::cluster_barrier(here);
}

}  // namespace cnpd::kernels::hopper
