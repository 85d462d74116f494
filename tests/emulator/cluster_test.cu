// Clusters of blocks in the emulator, and the errors of a kernel that uses them.
#include <doctest/doctest.h>

#include "kernels/common/hopper.h"
#include "tests/emulator/faults.h"
#include "tests/support/device.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// Each block keeps its own value in a static shared variable while the others run.
__global__ void own_variables(int* out) {
    __shared__ int mine[32];
    mine[threadIdx.x] = static_cast<int>(blockIdx.x * 32 + threadIdx.x);
    for (int round = 0; round < 10; ++round) {
        hopper::cluster_barrier();
        mine[31 - threadIdx.x] += 1000;
        __syncthreads();
    }
    out[blockIdx.x * 32 + threadIdx.x] =
        mine[threadIdx.x] + 100'000 * static_cast<int>(hopper::block_of_cluster());
}

enum class Omit { nothing, first_barrier, last_barrier };

// A token goes round the cluster: each block waits for it and hands it to the next one. The block
// that has it next to last notes the order.
template <Omit Omitted>
__global__ void hand_round(unsigned blocks, int* order) {
    __shared__ hopper::Barrier token;
    const unsigned me = hopper::block_of_cluster();
    if (threadIdx.x == 0) {
        hopper::init(token, 1);
        hopper::publish_barriers();
    }
    if constexpr (Omitted != Omit::first_barrier) hopper::cluster_barrier();
    if (threadIdx.x == 0) {
        if (me != 0) hopper::wait(token, 0);
        order[blockIdx.x] = atomicAdd(&order[gridDim.x], 1);
        hopper::arrive_at(token, (me + 1) % blocks);
        if (me == 0 && Omitted == Omit::nothing) hopper::wait(token, 0);
    }
    if constexpr (Omitted != Omit::last_barrier) hopper::cluster_barrier();
}

__global__ void barrier_of_one_block() {
    if (hopper::block_of_cluster() == 1) hopper::cluster_barrier();
}

}  // namespace

TEST_CASE("blocks of a cluster have their own static shared variables" *
          doctest::skip(kUnchecked)) {
    for (const std::uint64_t seed : {0, 1, 2}) {
        emulator::set_seed(seed);
        const DeviceArray<int> out(256);
        launch({.name = "own_variables", .grid = 8, .block = 32, .cluster = 4}, own_variables,
               out.data());
        const auto y = out.to_host();
        for (int i = 0; i < 256; ++i)
            CHECK(y[static_cast<std::size_t>(i)] == i + 10'000 + i / 32 % 4 * 100'000);
    }
}

TEST_CASE("a block arrives at the barrier of another block" * doctest::skip(kUnchecked)) {
    for (const std::uint64_t seed : {0, 1, 2, 3}) {
        emulator::set_seed(seed);
        const DeviceArray<int> order(std::vector<int>(9));
        launch({.name = "hand_round", .grid = 8, .block = 32, .cluster = 4},
               hand_round<Omit::nothing>, 4u, order.data());
        const auto y = order.to_host();
        for (int i = 0; i < 8; ++i) CHECK(y[static_cast<std::size_t>(i)] == i);
    }
}

TEST_CASE("fault: a block uses another block's barrier before its initialisation or after its end" *
          doctest::skip(kUnchecked)) {
    const auto faults = [](auto kernel, const char* said) {
        int found = 0;
        for (std::uint64_t seed = 0; seed < 20; ++seed) {
            emulator::set_seed(seed);
            const DeviceArray<int> order(std::vector<int>(5));
            const std::string fault = fault_of([&] {
                launch({.name = "hand_round", .grid = 4, .block = 32, .cluster = 4}, kernel, 4u,
                       order.data());
            });
            found += fault.find(said) != fault.npos;
        }
        return found;
    };
    CHECK(faults(hand_round<Omit::last_barrier>, "a block of the cluster that has ended") > 0);
    CHECK(faults(hand_round<Omit::first_barrier>, "not initialised") > 0);
}

TEST_CASE("fault: a cluster's barrier that a block does not reach") {
    const std::string fault = fault_of([] {
        launch({.name = "some", .grid = 2, .block = 64, .cluster = 2}, barrier_of_one_block);
    });
    CHECK(contains(fault, "kernel some, block (1, 0, 0), thread ("));
    CHECK(contains(fault, "waits at a barrier that 64 of the cluster's 128 threads have reached"));
}

TEST_CASE("fault: clusters that the hardware does not have") {
    const auto refused = [](unsigned grid, unsigned cluster) {
        return fault_of([&] {
            launch({.name = "some", .grid = grid, .block = 32, .cluster = cluster},
                   barrier_of_one_block);
        });
    };
    CHECK(contains(refused(16, 16), "clusters of 16 blocks (1 to 8 are possible)"));
    CHECK(contains(refused(6, 4), "a grid of 6 blocks in x is not a multiple of clusters of 4"));
}
