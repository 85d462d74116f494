// The hardware's limits: what exceeds them is refused or reported.
#include <doctest/doctest.h>

#include "kernels/common/hopper.h"
#include "kernels/common/vector_access.h"
#include "tests/emulator/faults.h"
#include "tests/support/device.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

__global__ void nothing() {}

constexpr int kHalf = 120 << 10;  // bytes

__global__ void use_shared_memory() {
    __shared__ float mine[kHalf / 4];
    CNPD_DYNAMIC_SHARED(float, more);
    for (unsigned i = threadIdx.x; i < kHalf / 4; i += blockDim.x) mine[i] = 0;
    more[threadIdx.x] = mine[threadIdx.x];
}

__global__ void init_barrier(unsigned arrivals, unsigned bytes) {
    __shared__ hopper::Barrier barrier;
    hopper::init(barrier, arrivals);
    hopper::arrive_expecting(barrier, bytes);
}

struct Maps {
    hopper::TensorMap of;
};

template <int Coordinates>
__global__ void copy_to(const __grid_constant__ Maps maps, int offset) {
    CNPD_DYNAMIC_SHARED(unsigned char, raw);
    __shared__ hopper::Barrier barrier;
    hopper::init(barrier, 1);
    hopper::publish_barriers();
    hopper::arrive_expecting(barrier, 8 * 128);
    if constexpr (Coordinates == 3)
        hopper::copy_box(maps.of, 0, 0, 0, raw + offset, barrier);
    else
        hopper::copy_box(maps.of, 0, 0, 0, 0, raw + offset, barrier);
    hopper::wait(barrier, 0);
}

hopper::TensorBoxes boxes() {
    return {.rank = 3, .size = {64, 8, 1}, .stride = {128, 1024}, .box = {64, 8, 1}};
}

// The message with which a tensor map is refused.
template <typename Change>
std::string refusal(const bfloat16* data, Change change) {
    hopper::TensorBoxes changed = boxes();
    change(changed);
    try {
        hopper::tensor_map(data, changed);
    } catch (const cnpd::CudaError& error) {
        return error.what();
    }
    return {};
}

}  // namespace

TEST_CASE("limits: threads and shared memory of a block" * doctest::skip(kUnchecked)) {
    const auto fault = [](unsigned threads, std::size_t dynamic, void (*kernel)()) {
        return fault_of([&] {
            launch({.name = "big", .grid = 1, .block = threads, .dynamic_shared = dynamic}, kernel);
        });
    };
    CHECK(fault(1024, 227 << 10, nothing) == "");
    CHECK(contains(fault(1025, 0, nothing), "1025 threads per block"));
    CHECK(contains(fault(1024, (227 << 10) + 1, nothing), "232449 bytes of dynamic shared memory"));
    CHECK(fault(32, 107 << 10, use_shared_memory) == "");
    CHECK(
        contains(fault(32, 108 << 10, use_shared_memory), "kernel big, block (0, 0, 0), thread ("));
    CHECK(contains(fault(32, 108 << 10, use_shared_memory),
                   "more than 227 KiB of static and dynamic shared memory"));
}

TEST_CASE("limits: arrivals and bytes of a barrier") {
    const auto fault = [](unsigned arrivals, unsigned bytes) {
        return fault_of([&] {
            launch({.name = "barrier", .grid = 1, .block = 1}, init_barrier, arrivals, bytes);
        });
    };
    CHECK(fault(2, (1 << 20) - 1) == "");
    CHECK(contains(fault(0, 0), "a barrier of 0 arrivals"));
    CHECK(contains(fault(1 << 20, 0), "a barrier of 1048576 arrivals"));
    CHECK(contains(fault(2, 1 << 20), "a barrier expects 1048576 bytes"));
    CHECK(contains(fault(2, 1 << 20), "kernel barrier, block (0, 0, 0), thread (0, 0, 0)"));
}

TEST_CASE("limits: tensor maps") {
    const DeviceArray<bfloat16> x(64 * 16);
    const auto change = [&](auto what) { return refusal(x.data(), what); };
    CHECK(change([](auto&) {}) == "");
    CHECK(contains(refusal(x.data() + 4, [](auto&) {}), "not aligned to 16 bytes"));
    CHECK(contains(change([](auto& b) { b.rank = 6; }), "6 dimensions"));
    CHECK(contains(change([](auto& b) { b.size[1] = 0; }), "size 0"));
    CHECK(contains(change([](auto& b) { b.size[1] = (1ull << 32) + 1; }), "size 4294967297"));
    CHECK(contains(change([](auto& b) { b.box[1] = 257; }), "a box of 257 elements"));
    CHECK(contains(change([](auto& b) { b.box[1] = 0; }), "a box of 0 elements"));
    CHECK(contains(change([](auto& b) { b.box[0] = 128; }), "not 128 bytes long"));
    CHECK(contains(change([](auto& b) { b.stride[0] = 136; }), "a stride of 136 bytes"));
    CHECK(contains(change([](auto& b) { b.stride[1] = 1ull << 40; }), "a stride of 1099511627776"));
}

TEST_CASE("limits: copies of boxes") {
    const DeviceArray<bfloat16> x(64 * 8);
    const Maps maps{hopper::tensor_map(x.data(), boxes())};
    const auto fault = [&](auto kernel, int offset) {
        return fault_of([&] {
            launch({.name = "copy_to", .grid = 1, .block = 1, .dynamic_shared = 4096}, kernel, maps,
                   offset);
        });
    };
    CHECK(fault(copy_to<3>, 0) == "");
    CHECK(fault(copy_to<3>, 128) == "");
    CHECK(contains(fault(copy_to<3>, 64), "not aligned to 128 bytes"));
    CHECK(contains(fault(copy_to<4>, 0), "a copy with 4 coordinates of a tensor of 3 dimensions"));
    CHECK(contains(fault(copy_to<3>, 4096 - 512), "beyond the end of the block's shared memory"));
}
