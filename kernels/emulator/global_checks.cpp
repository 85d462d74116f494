#include "kernels/emulator/global_checks.h"

#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "kernels/emulator/barriers.h"

namespace cnpd::kernels::emulator {
namespace {

// An access of a thread.
struct Touch {
    std::uint32_t block = 0;  // serial; 0: none
    std::uint16_t rank = 0;
    bool atomic = false;
    Stamp stamp{};
    std::uint32_t fences = 0;  // that the thread had called before
};

// Two bytes of global memory: the last write and the last reads of two different blocks.
struct GlobalCell {
    Touch write, read[2];
};

constexpr std::uintptr_t kPage = 4096;
using Page = std::array<GlobalCell, kPage / kCellBytes>;

// Part of a release: an atomic of a thread that has called a fence.
struct Release {
    std::size_t position;  // in the order of releases at this address
    Touch atomic;
};
struct Releases {
    std::size_t count = 0;
    std::unordered_map<std::uint32_t, std::vector<Release>> of_block;
};

// A thread's atomic: it knows all earlier releases at the address.
struct Acquire {
    const Releases* releases;
    std::size_t count;
    Touch atomic;
};

struct BlockLog {
    uint3 index{};
    std::vector<std::vector<Stamp>> fences;  // of each thread
    std::vector<Acquire> acquires;
};

struct Launched {
    std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages;
    std::unordered_map<const void*, Releases> releases;
    std::unordered_map<std::uint32_t, BlockLog> blocks;
};

thread_local Launched launched;

BlockLog& log_of(const BlockState& block) {
    BlockLog& log = launched.blocks[block.serial];
    if (log.fences.empty()) {
        log.index = block.index;
        log.fences.resize(block.time.size());
    }
    return log;
}

GlobalCell& cell_of(std::uintptr_t address) {
    auto& page = launched.pages[address / kPage];
    if (!page) page = std::make_unique<Page>();
    return (*page)[address % kPage / kCellBytes];
}

// Whether a barrier of the block or the warp lies between two moments of a block's threads.
bool barrier_between(unsigned first, const Stamp& a, unsigned second, const Stamp& b) {
    return a.block_epoch < b.block_epoch ||
           (first / kWarp == second / kWarp && a.warp_epoch < b.warp_epoch);
}

// Whether an access is before a fence that is before the release's atomic: a fence of the thread
// that releases, or of the thread of the access itself.
bool is_covered(const Touch& touch, const Touch& release) {
    const auto& fences = launched.blocks.at(touch.block).fences;
    if (touch.rank == release.rank) return touch.fences < release.fences;
    if (release.fences > 0 && barrier_between(touch.rank, touch.stamp, release.rank,
                                              fences[release.rank][release.fences - 1]))
        return true;
    const auto& own = fences[touch.rank];
    return touch.fences < own.size() &&
           barrier_between(touch.rank, own[touch.fences], release.rank, release.stamp);
}

// Whether a fence lies between an atomic and what a thread of its block does now: a fence of the
// thread of the atomic, or of the other thread.
bool is_fenced(const Touch& atomic, const Actor& me) {
    const auto& fences = log_of(*me.block).fences;
    const auto& own = fences[atomic.rank];
    if (atomic.fences < own.size() && before(me, *me.block, atomic.rank, own[atomic.fences]))
        return true;
    const auto& mine = fences[me.rank];
    return !mine.empty() && barrier_between(atomic.rank, atomic.stamp, me.rank, mine.back());
}

bool is_acquired(const Touch& touch, const Actor& me) {
    for (const Acquire& acquire : log_of(*me.block).acquires) {
        if (!is_fenced(acquire.atomic, me)) continue;
        const auto found = acquire.releases->of_block.find(touch.block);
        if (found == acquire.releases->of_block.end()) continue;
        for (const Release& release : found->second)
            if (release.position < acquire.count && is_covered(touch, release.atomic)) return true;
    }
    return false;
}

bool happened_before(const Touch& touch, const Actor& me) {
    if (touch.block == 0) return true;
    for (unsigned rank = 0; rank < running.launch->cluster; ++rank)
        if (const BlockState* block = block_of_rank(rank);
            block && block->serial == touch.block && before(me, *block, touch.rank, touch.stamp))
            return true;
    return is_acquired(touch, me);
}

void report_order(const char* does, const Touch& other, const char* did, const void* code) {
    const uint3& index = launched.blocks.at(other.block).index;
    report_at(code, fmt::format("{} global memory that thread {} of block ({}, {}, {}) {}, and "
                                "neither a barrier nor fences and an atomic order them",
                                does, thread_name(other.rank), index.x, index.y, index.z, did));
}

void check_cell(GlobalCell& cell, const Actor& me, const Touch& mine, Access access,
                const void* code) {
    if (!(mine.atomic && cell.write.atomic) && !happened_before(cell.write, me))
        report_order(verb(access), cell.write, "writes", code);
    if (access == Access::read) {
        if (cell.read[0].block != mine.block) cell.read[1] = cell.read[0];
        cell.read[0] = mine;
        return;
    }
    for (const Touch& read : cell.read)
        if (!happened_before(read, me)) report_order(verb(access), read, "reads", code);
    cell.write = mine;
    cell.read[0] = cell.read[1] = {};
}

}  // namespace

void check_global(const void* address, std::size_t bytes, Access access, const void* code) {
    if (bytes < kCellBytes) return;  // neighbouring bytes may belong to different threads
    const Actor me{running.block, running.rank};
    BlockLog& log = log_of(*me.block);
    const Touch mine{.block = me.block->serial,
                     .rank = static_cast<std::uint16_t>(me.rank),
                     .atomic = access == Access::atomic,
                     .stamp = stamp_of(*me.block, me.rank),
                     .fences = static_cast<std::uint32_t>(log.fences[me.rank].size())};
    const auto first = reinterpret_cast<std::uintptr_t>(address);
    for (std::uintptr_t at = first; at < first + bytes && !is_faulty(); at += kCellBytes)
        check_cell(cell_of(at), me, mine, access, code);
    if (!mine.atomic) return;
    Releases& releases = launched.releases[address];
    if (releases.count > 0) log.acquires.push_back({&releases, releases.count, mine});
    releases.of_block[mine.block].push_back({releases.count++, mine});
}

void thread_fence(std::source_location where) {
    if (is_left_out(where)) return;
    note_barrier(where, running.launch->name);
    if (!running.checks_global) return;
    log_of(*running.block).fences[running.rank].push_back(stamp_of(*running.block, running.rank));
}

void forget_global_accesses() {
    launched = {};
}

}  // namespace cnpd::kernels::emulator
