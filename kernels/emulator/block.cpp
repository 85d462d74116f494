#include "kernels/emulator/block.h"

#include <utility>

#include <fmt/format.h>

#include "kernels/emulator/device_memory.h"
#include "kernels/emulator/launch_log.h"
#include "kernels/emulator/scheduler.h"

namespace cnpd::kernels::emulator {
namespace {

constexpr unsigned kMaxThreads = 1024, kMaxCluster = 8;

void check_limits(const Launch& launch) {
    const auto refuse = [&](const std::string& why) {
        throw KernelFault(fmt::format("kernel {}: {}", launch.name, why));
    };
    const auto threads = std::uint64_t{launch.block.x} * launch.block.y * launch.block.z;
    if (threads == 0 || threads > kMaxThreads)
        refuse(fmt::format("{} threads per block (1 to 1024 are possible)", threads));
    if (launch.dynamic_shared > kMostShared)
        refuse(fmt::format("{} bytes of dynamic shared memory (227 KiB are possible)",
                           launch.dynamic_shared));
    const dim3& grid = launch.grid;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535)
        refuse(
            fmt::format("a grid of {} x {} x {} blocks is not possible", grid.x, grid.y, grid.z));
    if (launch.cluster == 0 || launch.cluster > kMaxCluster)
        refuse(fmt::format("clusters of {} blocks (1 to 8 are possible)", launch.cluster));
    if (grid.x % launch.cluster != 0)
        refuse(fmt::format("a grid of {} blocks in x is not a multiple of clusters of {}", grid.x,
                           launch.cluster));
}

}  // namespace

InBlock::InBlock(BlockState& block) : before_(running.block) {
    scheduler().enter(block);
}
InBlock::~InBlock() {
    if (before_) scheduler().enter(*before_);
}

BlockState* block_of_rank(unsigned rank_in_cluster) {
    const auto& blocks = scheduler().cluster().blocks;
    if (rank_in_cluster >= blocks.size() || blocks[rank_in_cluster]->finished()) return nullptr;
    return blocks[rank_in_cluster].get();
}

void sleep_on(const void* key) {
    scheduler().sleep_on(key);
}
void wake(const void* key) {
    scheduler().current()->wake(key);
}
void cluster_barrier(std::source_location where) {
    scheduler().cluster_barrier(where);
}
void later(BlockState& block, std::function<void()> work) {
    scheduler().later(block, std::move(work));
}

bool is_faulty() {
    return !scheduler().fault.empty();
}

bool on_stack_of_thread(const void* address) {
    return scheduler().on_stack_of_thread(address);
}

std::string thread_name(unsigned rank) {
    return fmt::format("({}, {}, {})", rank % blockDim.x, rank / blockDim.x % blockDim.y,
                       rank / blockDim.x / blockDim.y);
}

void launch(const Launch& launch, const Kernel& kernel) {
    check_limits(launch);
    LaunchLog::note(launch);
    const DeviceAccess access;
    scheduler().run(launch, kernel);
}

std::uint64_t draw(std::uint64_t bound) {
    return scheduler().draw(bound);
}

void* dynamic_shared() {
    return running.block->dynamic_shared;
}

void set_blocks_at_once(unsigned blocks) {
    scheduler().set_blocks_at_once(blocks);
}

void set_seed(std::uint64_t seed) {
    scheduler().set_seed(seed);
}

int lane() {
    return static_cast<int>(running.rank % kWarp);
}

void block_barrier(std::source_location where) {
    scheduler().block_barrier(where);
}

void warp_barrier(unsigned mask, std::source_location where) {
    scheduler().warp_barrier(mask, where);
}

void warp_collective(unsigned mask, Combine combine, void* mine) {
    scheduler().collective(mask, combine, mine);
}

void report(const char* what) {
    std::string& fault = scheduler().fault;
    if (!fault.empty()) return;
    fault = fmt::format("kernel {}, block ({}, {}, {}), thread {}: {}", running.launch->name,
                        blockIdx.x, blockIdx.y, blockIdx.z, thread_name(running.rank), what);
}

}  // namespace cnpd::kernels::emulator
