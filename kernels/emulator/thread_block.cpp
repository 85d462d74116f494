#include "kernels/emulator/thread_block.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

namespace cnpd::kernels::emulator {

SharedMemory::SharedMemory(std::size_t bytes, std::size_t skipped) : skipped_(skipped) {
    if (bytes) memory_ = static_cast<std::byte*>(::operator new(bytes + skipped, kAlignment));
}

void ThreadBlock::begin(uint3 block_index, unsigned threads, std::size_t dynamic_bytes,
                        std::size_t skipped) {
    static thread_local std::uint32_t blocks = 0;
    index = block_index;
    serial = ++blocks;
    block_epoch = 0;
    const unsigned warps = (threads + kWarp - 1) / kWarp;
    warp_epoch.assign(warps, 0);
    time.assign(threads, 0);
    fences.assign(threads, {});
    copies.assign(threads, {});
    hopper.reset();
    memory_.reset();
    memory_ = std::make_unique<SharedMemory>(dynamic_bytes, skipped);
    dynamic_shared = memory_->data();
    count_ = threads;
    ended_ = at_barrier_ = 0;
    meetings_.assign(warps, {});
    threads_.clear();
    threads_.resize(count_);
    ready_.clear();
    not_started_.resize(count_);
    for (unsigned i = 0; i < count_; ++i) {
        const auto other = static_cast<unsigned>(draw(i + 1));
        not_started_[i] = not_started_[other];
        not_started_[other] = i;
    }
}

void ThreadBlock::end() {
    threads_.clear();
}

unsigned ThreadBlock::next() {
    unsigned next = 0;
    if (ready_.empty() || (!not_started_.empty() && draw(2) == 0)) {
        take_new(next);
        return next;
    }
    std::swap(ready_[draw(ready_.size())], ready_.back());
    next = ready_.back();
    ready_.pop_back();
    return next;
}

bool ThreadBlock::take_new(unsigned& thread) {
    if (not_started_.empty()) return false;
    thread = not_started_.back();
    not_started_.pop_back();
    return true;
}

bool ThreadBlock::take_new_on_same_stack(unsigned& thread) {
    return (ready_.empty() || draw(2) == 0) && take_new(thread);
}

void ThreadBlock::thread_ended(unsigned rank) {
    threads_[rank].done = true;
    ++ended_;
}

void ThreadBlock::make_ready(unsigned rank) {
    threads_[rank].waits = false;
    threads_[rank].sleeps_on = nullptr;
    ready_.push_back(rank);
}

void ThreadBlock::make_all_ready_except(unsigned rank) {
    for (unsigned i = 0; i < count_; ++i)
        if (i != rank && threads_[i].waits) make_ready(i);
}

void ThreadBlock::wake(const void* key) {
    for (unsigned i = 0; i < count_; ++i)
        if (threads_[i].sleeps_on == key) make_ready(i);
}

bool ThreadBlock::arrive_at_barrier() {
    if (++at_barrier_ < count_) return true;
    at_barrier_ = 0;
    ++block_epoch;
    return false;
}

bool ThreadBlock::arrive_at_collective(unsigned mask, Combine combine, void* mine, bool& last) {
    const unsigned me = running.rank, warp = me / kWarp, first = warp * kWarp;
    const unsigned present = count_ - first >= kWarp ? ~0u : (1u << (count_ - first)) - 1;
    mask &= present;
    const unsigned my_bit = 1u << (me - first);
    if (!(mask & my_bit)) {
        report("the mask of a warp collective does not contain the calling lane");
        return false;
    }

    auto& meetings = meetings_[warp];
    auto meeting = std::find_if(meetings.begin(), meetings.end(),
                                [&](const Meeting& each) { return (each.mask & mask) != 0; });
    if (meeting == meetings.end())
        meeting = meetings.insert(meetings.end(), {.mask = mask, .arrived = 0, .combine = combine});
    if (meeting->mask != mask || meeting->combine != combine) {
        report("lanes of a warp call different collectives or pass different masks");
        return false;
    }
    meeting->arrived |= my_bit;
    threads_[me].brought = mine;
    if (meeting->arrived != mask) return true;

    last = true;
    void* of_lane[kWarp] = {};
    for (int i = 0; i < kWarp; ++i)
        if (mask >> i & 1) of_lane[i] = threads_[first + static_cast<unsigned>(i)].brought;
    meetings.erase(meeting);
    if (combine)
        combine(std::span<void* const, kWarp>(of_lane));
    else
        ++warp_epoch[warp];  // only a barrier orders the lanes' memory accesses
    for (int i = 0; i < kWarp; ++i)
        if (const unsigned other = first + static_cast<unsigned>(i); mask >> i & 1 && other != me)
            make_ready(other);
    return false;
}

bool ThreadBlock::holds_in_stack(const void* address) const {
    return std::any_of(threads_.begin(), threads_.end(), [address](const Thread& each) {
        return each.worker && each.worker->holds(address);
    });
}

ThreadBlock::Stuck ThreadBlock::stuck() const {
    const auto waiting = std::find_if(threads_.begin(), threads_.end(),
                                      [](const Thread& each) { return each.waits; });
    const auto rank = static_cast<unsigned>(waiting - threads_.begin());
    if (at_barrier_ > 0)
        return {rank, fmt::format("waits at a barrier that {} of the block's {} threads have "
                                  "reached",
                                  at_barrier_, count_)};
    const auto sleeping = std::find_if(threads_.begin(), threads_.end(), [](const Thread& each) {
        return each.sleeps_on != nullptr;
    });
    if (sleeping != threads_.end())
        return {static_cast<unsigned>(sleeping - threads_.begin()),
                "waits for something in shared memory that never happens"};
    return {rank, "waits in a warp collective that not all lanes of its mask have reached"};
}

}  // namespace cnpd::kernels::emulator
