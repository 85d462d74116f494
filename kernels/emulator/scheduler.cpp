#include "kernels/emulator/scheduler.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "kernels/emulator/barriers.h"
#include "kernels/emulator/global_checks.h"
#include "kernels/emulator/trace.h"

constinit thread_local uint3 threadIdx{}, blockIdx{};
constinit thread_local dim3 blockDim{}, gridDim{};

namespace cnpd::kernels::emulator {

constinit thread_local Running running{};

namespace context = boost::context;

Scheduler& scheduler() {
    thread_local Scheduler scheduler;
    thread_local const bool seeded = [] {
        const char* seed = std::getenv("CNPD_EMULATOR_SEED");
        scheduler.set_seed(seed ? std::strtoull(seed, nullptr, 10) : 0);
        const char* blocks = std::getenv("CNPD_EMULATOR_BLOCKS");
        scheduler.set_blocks_at_once(
            blocks ? static_cast<unsigned>(std::strtoul(blocks, nullptr, 10)) : 1);
        return true;
    }();
    (void)seeded;
    return scheduler;
}

std::uint64_t Scheduler::draw(std::uint64_t bound) {
    random_ ^= random_ >> 12;
    random_ ^= random_ << 25;
    random_ ^= random_ >> 27;
    return (random_ * 0x2545F4914F6CDD1Du >> 32) * bound >> 32;
}

void Scheduler::run(const Launch& launch, const Kernel& kernel) {
    CNPD_CHECK(!running.launch,
               fmt::format("kernel {} launched from inside a kernel", launch.name));
    threads_ = launch.block.x * launch.block.y * launch.block.z;
    kernel_ = &kernel;
    running.launch = &launch;
    running.blocks_at_once = std::max(blocks_at_once_, launch.cluster);
    running.checks_global = blocks_at_once_ > 1;
    if (running.checks_global) forget_global_accesses();
    fault.clear();
    blockDim = launch.block;
    gridDim = launch.grid;
    // Kernels that need more than 128 bytes' alignment have to take care of it themselves.
    skipped_ = 128 * draw(8);
    next_block_ = 0;
    block_count_ = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
    run_blocks();
    running = {};
    if (!fault.empty()) throw KernelFault(std::exchange(fault, {}));
}

void Scheduler::run_blocks() {
    for (start_clusters(); !alive_.empty() && fault.empty(); start_clusters()) {
        ThreadBlock* const block = choose();
        if (!async_.empty() && (!block || draw(4) == 0)) {
            do_async(draw(async_.size()));
            continue;
        }
        if (!block) {
            report_stuck();
            break;
        }
        enter(*block);
        resume(*block, block->next());
        if (block->finished()) end_clusters();
    }
    async_.clear();
    for (auto& each : alive_)  // after a fault
        for (auto& block : each->blocks) {
            block->end();
            unused_.push_back(std::move(block));
        }
    alive_.clear();
}

void Scheduler::do_async(std::size_t which) {
    const Async chosen = std::move(async_[which]);
    async_[which] = std::move(async_.back());
    async_.pop_back();
    enter(*chosen.block);
    if (chosen.block->finished())
        return report("ends while a copy to the block's shared memory is in flight");
    chosen.work();
}

void Scheduler::start_clusters() {
    while (next_block_ < block_count_ &&
           (alive_.empty() || (alive_.size() + 1) * running.launch->cluster <= blocks_at_once_))
        start_cluster();
}

void Scheduler::start_cluster() {
    const Launch& launch = *running.launch;
    auto cluster = std::make_unique<Cluster>();
    for (unsigned i = 0; i < launch.cluster; ++i, ++next_block_) {
        if (unused_.empty()) unused_.push_back(std::make_unique<ThreadBlock>());
        cluster->blocks.push_back(std::move(unused_.back()));
        unused_.pop_back();
        const uint3 index = {static_cast<unsigned>(next_block_ % launch.grid.x),
                             static_cast<unsigned>(next_block_ / launch.grid.x % launch.grid.y),
                             static_cast<unsigned>(next_block_ / launch.grid.x / launch.grid.y)};
        ThreadBlock& block = *cluster->blocks.back();
        block.begin(index, threads_, launch.dynamic_shared, skipped_);
        block.rank_in_cluster = i;
    }
    alive_.push_back(std::move(cluster));
}

// Called when a block has ended. Its memory stays until its whole cluster has ended.
void Scheduler::end_clusters() {
    if (Trace* trace = Trace::current())
        trace->block_end(running.launch->name, running.block->serial);
    check_products_at_end(*running.block);
    while (current()->finished() && fault.empty()) {
        const auto mine = std::find_if(async_.begin(), async_.end(), [&](const Async& each) {
            return each.block == running.block;
        });
        if (mine == async_.end()) break;
        do_async(static_cast<std::size_t>(mine - async_.begin()));
    }
    running.block = nullptr;
    std::erase_if(alive_, [&](const std::unique_ptr<Cluster>& cluster) {
        const bool over = std::all_of(cluster->blocks.begin(), cluster->blocks.end(),
                                      [](const auto& block) { return block->finished(); });
        if (over)
            for (auto& block : cluster->blocks) {
                block->end();
                unused_.push_back(std::move(block));
            }
        return over;
    });
}

// A block with a thread that can continue; null: none. Switching has a cost, so blocks take turns
// less often than their threads.
ThreadBlock* Scheduler::choose() {
    if (ThreadBlock* block = current(); block && block->can_run() && draw(4) != 0) return block;
    ThreadBlock* chosen = nullptr;
    std::uint64_t candidates = 0;
    for (const auto& each : alive_)
        for (const auto& block : each->blocks)
            if (block->can_run() && draw(++candidates) == 0) chosen = block.get();
    return chosen;
}

Cluster* Scheduler::cluster_of(const BlockState& block) {
    for (const auto& each : alive_)
        for (const auto& member : each->blocks)
            if (member.get() == &block) return each.get();
    return nullptr;
}

void Scheduler::enter(BlockState& block) {
    if (running.block == &block) return;
    if (running.block) put_statics_aside(*running.block);
    put_statics_back(block);
    running.block = &block;
    blockIdx = block.index;
}

void Scheduler::select(unsigned rank) {
    running.rank = rank;
    threadIdx = {rank % blockDim.x, rank / blockDim.x % blockDim.y, rank / blockDim.x / blockDim.y};
}

std::unique_ptr<Worker> Scheduler::worker() {
    if (idle_.empty())
        return std::make_unique<Worker>(
            [this](context::fiber&& scheduler) { return work(std::move(scheduler)); });
    auto worker = std::move(idle_.back());
    idle_.pop_back();
    return worker;
}

void Scheduler::resume(ThreadBlock& block, unsigned rank) {
    Thread& next = block.thread(rank);
    if (!next.worker) next.worker = worker();
    select(rank);
    worker_ = next.worker.get();
    next.worker->resume();
    // Another thread may be the last one that ran on this stack: see run_threads.
    Thread& last = block.thread(running.rank);
    if (&last != &next) last.worker = std::move(next.worker);
    if (last.done) idle_.push_back(std::move(last.worker));
}

// The body of a worker: runs threads until the worker is destroyed.
context::fiber Scheduler::work(context::fiber&& scheduler) {
    StackSwitch::arrive(&host_stack_, &host_stack_bytes_);
    scheduler_ = std::move(scheduler);
    try {
        for (;;) {
            run_threads();
            leave();
        }
    } catch (const context::detail::forced_unwind&) {
        StackSwitch::leave(host_stack_, host_stack_bytes_);
        throw;
    }
}

void Scheduler::leave() {
    const StackSwitch away(host_stack_, host_stack_bytes_);
    scheduler_ = std::move(scheduler_).resume();
}

// A thread that ends leaves its stack to one that has not started, without a switch.
void Scheduler::run_threads() {
    for (;;) {
        try {
            (*kernel_)();
        } catch (const context::detail::forced_unwind&) {
            throw;
        } catch (const std::exception& error) {
            report(error.what());
        }
        current()->thread_ended(running.rank);
        unsigned next = 0;
        if (!fault.empty() || !current()->take_new_on_same_stack(next)) return;
        select(next);
    }
}

// Lets other threads run until this thread is made ready.
void Scheduler::wait() {
    current()->wait(running.rank);
    leave();
}

void Scheduler::sleep_on(const void* key) {
    current()->thread(running.rank).sleeps_on = key;
    wait();
}

void Scheduler::block_barrier(std::source_location where) {
    if (is_left_out(where)) return;
    if (current()->arrive_at_barrier()) return wait();
    note_barrier(where, running.launch->name);
    order_block(*running.block);
    current()->make_all_ready_except(running.rank);
}

void Scheduler::warp_barrier(unsigned mask, std::source_location where) {
    if (is_left_out(where)) return;
    if (!collective(mask, nullptr, nullptr)) return;
    note_barrier(where, running.launch->name);
    order_lanes(*running.block, running.rank / kWarp, mask);
}

void Scheduler::later(BlockState& block, std::function<void()> work) {
    async_.push_back({static_cast<ThreadBlock*>(&block), std::move(work)});
}

void Scheduler::cluster_barrier(std::source_location where) {
    if (is_left_out(where)) return;
    if (++cluster().at_barrier < threads_ * running.launch->cluster) return wait();
    cluster().at_barrier = 0;
    note_barrier(where, running.launch->name);
    std::vector<BlockState*> blocks;
    for (const auto& block : cluster().blocks) blocks.push_back(block.get());
    order_cluster(blocks);
    for (const auto& block : cluster().blocks) {
        ++block->block_epoch;
        block->make_all_ready_except(block.get() == current() ? running.rank : threads_);
    }
}

bool Scheduler::collective(unsigned mask, Combine combine, void* mine) {
    bool last = false;
    if (current()->arrive_at_collective(mask, combine, mine, last)) wait();
    return last;
}

bool Scheduler::on_stack_of_thread(const void* address) const {
    const auto* block = static_cast<const ThreadBlock*>(running.block);
    return (worker_ && worker_->holds(address)) || (block && block->holds_in_stack(address));
}

void Scheduler::report_stuck() {
    for (const auto& cluster : alive_)
        for (const auto& block : cluster->blocks) {
            if (block->finished()) continue;
            enter(*block);
            const ThreadBlock::Stuck stuck = block->stuck();
            select(stuck.rank);
            return report(
                cluster->at_barrier > 0
                    ? fmt::format("waits at a barrier that {} of the cluster's {} threads have "
                                  "reached",
                                  cluster->at_barrier, threads_ * running.launch->cluster)
                          .c_str()
                    : stuck.why.c_str());
        }
}

}  // namespace cnpd::kernels::emulator
