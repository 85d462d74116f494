// Blocks of a grid that run at the same time, and the errors of kernels whose blocks communicate.
#include <doctest/doctest.h>

#include "kernels/common/warp_reduce.h"
#include "tests/emulator/faults.h"
#include "tests/support/device.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

constexpr int kThreads = 64, kBlocks = 12;

// Runs a test with several blocks at a time.
class BlocksAtOnce {
  public:
    explicit BlocksAtOnce(unsigned blocks) { emulator::set_blocks_at_once(blocks); }
    ~BlocksAtOnce() { emulator::set_blocks_at_once(1); }
    BlocksAtOnce(const BlocksAtOnce&) = delete;
    BlocksAtOnce& operator=(const BlocksAtOnce&) = delete;
};

enum class Omit { nothing, fence, fence_after, barrier_before, barrier_after, atomic };

// Every thread writes one value; the block that finishes last adds up all of them.
template <Omit Omitted>
__global__ void last_block_adds(int* values, unsigned* finished, int* sum) {
    __shared__ int last;
    values[blockIdx.x * kThreads + threadIdx.x] = static_cast<int>(threadIdx.x + blockIdx.x);
    if constexpr (Omitted != Omit::barrier_before) __syncthreads();
    if (threadIdx.x == 0) {
        if constexpr (Omitted != Omit::fence) __threadfence();
        if constexpr (Omitted == Omit::atomic)
            last = ++*finished == gridDim.x;
        else
            last = atomicAdd(finished, 1u) == gridDim.x - 1;
    }
    if constexpr (Omitted != Omit::barrier_after) __syncthreads();
    if (!last) return;
    if constexpr (Omitted != Omit::fence_after) __threadfence();
    int mine = 0;
    for (unsigned i = threadIdx.x; i < gridDim.x * kThreads; i += kThreads) mine += values[i];
    atomicAdd(sum, mine);
}

// Every warp fences its own values and counts itself.
template <Omit Omitted>
__global__ void last_warp_adds(int* values, unsigned* finished, int* sum) {
    if (threadIdx.x % 32 == 0) {
        values[(blockIdx.x * kThreads + threadIdx.x) / 32] = static_cast<int>(blockIdx.x + 1);
        if constexpr (Omitted != Omit::fence) __threadfence();
        const unsigned warps = gridDim.x * kThreads / 32;
        if (atomicAdd(finished, 1u) != warps - 1) return;
        if constexpr (Omitted != Omit::fence_after) __threadfence();
        for (unsigned i = 0; i < warps; ++i) *sum += values[i];
    }
}

__global__ void same_place(int* values) {
    if (threadIdx.x == 0) values[0] = 1;
}

__global__ void shift_in_place(int* values) {
    const unsigned i = blockIdx.x * kThreads + threadIdx.x;
    values[i] = values[i + 1];
}

__global__ void reverse_blocks(const int* in, int* out) {
    __shared__ int tile[kThreads];
    const unsigned first = blockIdx.x * kThreads;
    tile[threadIdx.x] = in[first + threadIdx.x];
    __syncthreads();
    out[first + threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

std::string fault_of_sum(void (*kernel)(int*, unsigned*, int*), int expected) {
    const DeviceArray<int> values(kBlocks * kThreads), sum(std::vector<int>(1));
    const DeviceArray<unsigned> finished(std::vector<unsigned>(1));
    const std::string fault = fault_of([&] {
        launch({.name = "last_adds", .grid = kBlocks, .block = kThreads}, kernel, values.data(),
               finished.data(), sum.data());
    });
    if (fault.empty()) CHECK(sum.to_host().front() == expected);
    return fault;
}

constexpr int kSumOfBlocks = kBlocks * kThreads * (kThreads - 1 + kBlocks - 1) / 2;
constexpr int kSumOfWarps = kThreads / 32 * kBlocks * (kBlocks + 1) / 2;

}  // namespace

TEST_CASE("blocks that run at the same time have their own shared memory" *
          doctest::skip(kUnchecked)) {
    const BlocksAtOnce several(4);
    std::vector<int> x(kBlocks * kThreads);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i);
    const DeviceArray in(x), out(x);
    launch({.name = "reverse", .grid = kBlocks, .block = kThreads}, reverse_blocks, in.data(),
           out.data());
    const auto y = out.to_host();
    for (std::size_t i = 0; i < x.size(); ++i)
        CHECK(y[i] == static_cast<int>(i / kThreads * kThreads + kThreads - 1 - i % kThreads));
}

TEST_CASE("the last block or warp reads the results of all" * doctest::skip(kUnchecked)) {
    const BlocksAtOnce several(4);
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        emulator::set_seed(seed);
        CHECK(fault_of_sum(last_block_adds<Omit::nothing>, kSumOfBlocks) == "");
        CHECK(fault_of_sum(last_warp_adds<Omit::nothing>, kSumOfWarps) == "");
    }
}

TEST_CASE("faults: fences, barriers and atomics between blocks" * doctest::skip(kUnchecked)) {
    const BlocksAtOnce several(4);
    const char* const unordered = "and neither a barrier nor fences and an atomic order them";
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        CAPTURE(seed);
        emulator::set_seed(seed);
        const auto fault = [](auto kernel) { return fault_of_sum(kernel, kSumOfBlocks); };
        CHECK(contains(fault(last_block_adds<Omit::fence>), unordered));
        CHECK(contains(fault(last_block_adds<Omit::fence_after>), unordered));
        CHECK(contains(fault(last_block_adds<Omit::barrier_before>), unordered));
        CHECK(contains(fault(last_block_adds<Omit::atomic>), unordered));
        CHECK(contains(fault(last_block_adds<Omit::barrier_after>), "shared memory that"));
        CHECK(contains(fault_of_sum(last_warp_adds<Omit::fence>, kSumOfWarps), unordered));
        CHECK(contains(fault_of_sum(last_warp_adds<Omit::fence_after>, kSumOfWarps), unordered));
    }
    const std::string fault = fault_of_sum(last_block_adds<Omit::fence>, kSumOfBlocks);
    CHECK(contains(fault, "kernel last_adds, block ("));
    CHECK(contains(fault, "reads global memory that thread ("));
}

TEST_CASE("faults: blocks write what others write or read" * doctest::skip(kUnchecked)) {
    const BlocksAtOnce several(4);
    const DeviceArray<int> values(kBlocks * kThreads + 1);
    const auto fault = [&](void (*kernel)(int*)) {
        return fault_of([&] {
            launch({.name = "race", .grid = kBlocks, .block = kThreads}, kernel, values.data());
        });
    };
    CHECK(contains(fault(same_place), "writes global memory that thread (0, 0, 0) of block ("));
    CHECK(contains(fault(shift_in_place), "global memory that thread ("));
}
