// Tests of the emulator: correct kernels give the right results for any order of threads, and every
// kind of error is reported.
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "kernels/common/vector_access.h"
#include "kernels/common/warp_reduce.h"
#include "kernels/emulator/barriers.h"
#include "kernels/emulator/device_memory.h"
#include "kernels/emulator/trace.h"
#include "tests/emulator/faults.h"
#include "tests/support/device.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

std::vector<float> counting_from(float first, std::size_t count) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), first);
    return values;
}

std::vector<float> counting(std::size_t count) {
    return counting_from(1, count);
}

__global__ void add_one(const float* x, float* y, int count) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < count) y[i] = x[i] + 1;
}

constexpr int kBarrierOfReverse = __LINE__ + 5;
template <int Threads, bool Barrier>
__global__ void reverse(const float* x, float* y) {
    __shared__ float tile[Threads];
    tile[threadIdx.x] = x[blockIdx.x * Threads + threadIdx.x];
    if constexpr (Barrier) __syncthreads();
    y[blockIdx.x * Threads + threadIdx.x] = tile[Threads - 1 - threadIdx.x];
}

template <int Threads>
__global__ void sum_twice(const float* x, float* sums) {
    const float once = block_sum<Threads>(x[threadIdx.x]);
    const float twice = block_sum<Threads>(once);
    if (threadIdx.x == 0) sums[0] = twice;
}

__global__ void read_unwritten(float* y) {
    __shared__ float tile[32];
    if (threadIdx.x != 7) tile[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

__global__ void barrier_for_some(float* y) {
    if (threadIdx.x < 40) __syncthreads();
    y[threadIdx.x] = 1;
}

__global__ void warp_sum_for_some(float* y) {
    if (threadIdx.x != 3) y[threadIdx.x] = warp_sum(1.0f);
}

__global__ void shuffle_from_outside(float* y) {
    if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0xFFFFu, 1.0f, 20);
}

__global__ void misaligned_vector(const float* x, float* y) {
    store_vector(y + 4 * threadIdx.x, load_vector<float4>(x + 4 * threadIdx.x + 1));
}

__global__ void copy_vectors(const float* x, float* y) {
    store_vector(y + 4 * threadIdx.x, load_vector<float4>(x + 4 * threadIdx.x));
}

// Neighbours in a warp exchange values through shared memory; a warp barrier is sufficient, a vote
// is not.
enum class Meeting { none, vote, barrier };
template <Meeting Meet>
__global__ void swap_in_warp(const float* x, float* y) {
    CNPD_DYNAMIC_SHARED(float, tile);
    tile[threadIdx.x] = x[threadIdx.x];
    if constexpr (Meet == Meeting::vote) __ballot_sync(kAllLanes, true);
    if constexpr (Meet == Meeting::barrier) __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];
}

template <int Padding>
__global__ void transpose(const float* x, float* y) {
    __shared__ float tile[32][32 + Padding];
    tile[threadIdx.y][threadIdx.x] = x[threadIdx.y * 32 + threadIdx.x];
    __syncthreads();
    y[threadIdx.y * 32 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
}

__global__ void histogram(const int* x, int* counts, int count) {
    __shared__ int of_block[4];
    if (threadIdx.x < 4) of_block[threadIdx.x] = 0;
    __syncthreads();
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < count) atomicAdd(&of_block[x[i]], 1);
    __syncthreads();
    if (threadIdx.x < 4) atomicAdd(&counts[threadIdx.x], of_block[threadIdx.x]);
}

__global__ void votes(unsigned* y) {
    y[threadIdx.x] = __ballot_sync(kAllLanes, threadIdx.x % 3 == 0);
}

__global__ void matches(const int* x, unsigned* y) {
    y[threadIdx.x] = __match_any_sync(kAllLanes, x[threadIdx.x]);
}

__global__ void shifts(const int* x, int* down, int* up) {
    down[threadIdx.x] = __shfl_down_sync(kAllLanes, x[threadIdx.x], 1, 8);
    up[threadIdx.x] = __shfl_up_sync(kAllLanes, x[threadIdx.x], 1, 8);
}

// d [16,16] = a [16,16] b [16,16]
__global__ void tensor_core_product(const __nv_bfloat16* a, const __nv_bfloat16* b, float* d) {
    using namespace nvcuda::wmma;
    fragment<matrix_a, 16, 16, 16, __nv_bfloat16, row_major> left;
    fragment<matrix_b, 16, 16, 16, __nv_bfloat16, col_major> right;
    fragment<accumulator, 16, 16, 16, float> sum;
    fill_fragment(sum, 0.0f);
    load_matrix_sync(left, a, 16);
    load_matrix_sync(right, b, 16);
    mma_sync(sum, left, right, sum);
    store_matrix_sync(d, sum, 16, mem_row_major);
}

}  // namespace

TEST_CASE("a grid covers all elements, for any order of threads") {
    const DeviceArray x(counting(1000));
    for (const std::uint64_t seed : {0, 1, 2}) {
        emulator::set_seed(seed);
        const DeviceArray<float> y(x.size());
        launch({.name = "add_one", .grid = ceil_div(1000, 96), .block = 96}, add_one, x.data(),
               y.data(), 1000);
        CHECK(y.to_host() == counting_from(2, 1000));
    }
}

TEST_CASE("shared memory and barriers") {
    const auto x = counting(512);
    const DeviceArray in(x), out(x);
    launch({.name = "reverse", .grid = 2, .block = 256}, reverse<256, true>, in.data(), out.data());
    const auto y = out.to_host();
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(y[i] == x[i / 256 * 256 + 255 - i % 256]);
}

TEST_CASE("a missing barrier is reported" * doctest::skip(kUnchecked)) {
    const DeviceArray x(counting(512)), y(counting(512));
    const std::string fault = fault_of([&] {
        launch({.name = "reverse", .grid = 2, .block = 256}, reverse<256, false>, x.data(),
               y.data());
    });
    CHECK(contains(fault, "kernel reverse, block (0, 0, 0), thread ("));
    CHECK(contains(fault, "shared memory"));
}

TEST_CASE("a skipped barrier causes a fault" * doctest::skip(kUnchecked)) {
    const DeviceArray x(counting(512)), y(counting(512));
    const auto run = [&] {
        launch({.name = "reverse", .grid = 2, .block = 256}, reverse<256, true>, x.data(),
               y.data());
    };
    emulator::leave_out_barrier(fmt::format("emulator_test.cu:{}", kBarrierOfReverse));
    CHECK(contains(fault_of(run), "shared memory"));
    emulator::leave_out_barrier("");
    CHECK(fault_of(run).empty());
    CHECK_THROWS_AS(emulator::leave_out_barrier("emulator_test.cu"), cnpd::Error);
}

TEST_CASE("sums over a block") {
    const DeviceArray x(counting(128));
    const DeviceArray<float> sum(1);
    launch({.name = "sum_twice", .grid = 1, .block = 128}, sum_twice<128>, x.data(), sum.data());
    CHECK(sum.to_host().front() == 128.0f * 128 * 129 / 2);
}

TEST_CASE("fault: a barrier that only some threads reach") {
    const DeviceArray<float> y(64);
    const std::string fault = fault_of(
        [&] { launch({.name = "some", .grid = 1, .block = 64}, barrier_for_some, y.data()); });
    CHECK(contains(fault, "waits at a barrier that 40 of the block's 64 threads have reached"));
}

TEST_CASE("fault: a warp collective that a lane does not reach") {
    const DeviceArray<float> y(32);
    const std::string fault = fault_of(
        [&] { launch({.name = "some", .grid = 1, .block = 32}, warp_sum_for_some, y.data()); });
    CHECK(contains(fault, "not all lanes of its mask have reached"));
}

TEST_CASE("fault: a shuffle from a lane outside of its mask") {
    const DeviceArray<float> y(32);
    const std::string fault = fault_of([&] {
        launch({.name = "outside", .grid = 1, .block = 32}, shuffle_from_outside, y.data());
    });
    CHECK(contains(fault, "lane outside of its mask"));
}

TEST_CASE("fault: a read of shared memory that was not written" * doctest::skip(kUnchecked)) {
    const DeviceArray<float> y(32);
    for (int time = 0; time < 2; ++time) {  // writes of the first launch do not count
        const std::string fault = fault_of([&] {
            launch({.name = "unwritten", .grid = 1, .block = 32}, read_unwritten, y.data());
        });
        CHECK(contains(fault,
                       "kernel unwritten, block (0, 0, 0), thread (7, 0, 0): reads shared "
                       "memory that no thread has written"));
    }
}

TEST_CASE("fault: an unaligned vector access") {
    const DeviceArray x(counting(132));
    const DeviceArray<float> y(128);
    const LaunchShape shape = {.name = "copy", .grid = 1, .block = 32};
    launch(shape, copy_vectors, x.data(), y.data());
    CHECK(y.to_host() == counting(128));
    const std::string fault =
        fault_of([&] { launch(shape, misaligned_vector, x.data(), y.data()); });
    CHECK(contains(fault, "not aligned"));
}

TEST_CASE("a warp's barrier orders its lanes, in dynamic shared memory too" *
          doctest::skip(kUnchecked)) {
    const auto x = counting(64);
    const DeviceArray in(x), out(x);
    const LaunchShape shape = {
        .name = "swap", .grid = 1, .block = 64, .dynamic_shared = 64 * sizeof(float)};
    launch(shape, swap_in_warp<Meeting::barrier>, in.data(), out.data());
    const auto y = out.to_host();
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(y[i] == x[i ^ 1]);
    for (const auto kernel : {swap_in_warp<Meeting::none>, swap_in_warp<Meeting::vote>})
        CHECK(contains(fault_of([&] { launch(shape, kernel, in.data(), out.data()); }),
                       "shared memory"));
}

TEST_CASE("atomics") {
    std::vector<int> x(1000);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i % 4);
    const DeviceArray in(x);
    const DeviceArray<int> counts(4);
    launch({.name = "histogram", .grid = 4, .block = 256}, histogram, in.data(), counts.data(),
           1000);
    CHECK(counts.to_host() == std::vector<int>{250, 250, 250, 250});
}

TEST_CASE("votes, matches and shifts within a warp") {
    const DeviceArray<unsigned> ballots(32);
    launch({.name = "votes", .grid = 1, .block = 32}, votes, ballots.data());
    unsigned expected = 0;
    for (int i = 0; i < 32; i += 3) expected |= 1u << i;
    CHECK(ballots.to_host() == std::vector<unsigned>(32, expected));

    std::vector<int> labels(32);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = i % 3 == 0 ? -1 : 7;
    const DeviceArray of_lane(labels);
    launch({.name = "matches", .grid = 1, .block = 32}, matches, of_lane.data(), ballots.data());
    const auto alike = ballots.to_host();
    for (std::size_t i = 0; i < labels.size(); ++i)
        CHECK(alike[i] == (i % 3 == 0 ? expected : ~expected));

    std::vector<int> x(32);
    std::iota(x.begin(), x.end(), 0);
    const DeviceArray in(x), below(x), above(x);
    launch({.name = "shifts", .grid = 1, .block = 32}, shifts, in.data(), below.data(),
           above.data());
    const auto down = below.to_host(), up = above.to_host();
    for (int i = 0; i < 32; ++i) {
        CHECK(down[static_cast<std::size_t>(i)] == (i % 8 == 7 ? i : i + 1));
        CHECK(up[static_cast<std::size_t>(i)] == (i % 8 == 0 ? i : i - 1));
    }
}

TEST_CASE("tensor cores multiply bfloat16 and add in float32") {
    std::vector<__nv_bfloat16> a(256), b(256);
    for (std::size_t i = 0; i < 256; ++i) {
        a[i] = __float2bfloat16(static_cast<float>(i % 7) - 3);
        b[i] = __float2bfloat16((static_cast<float>(i % 5) - 2) / 4);
    }
    const DeviceArray left(a), right(b);
    const DeviceArray<float> product(256);
    launch({.name = "product", .grid = 1, .block = 32}, tensor_core_product, left.data(),
           right.data(), product.data());
    const auto d = product.to_host();
    for (std::size_t row = 0; row < 16; ++row)
        for (std::size_t column = 0; column < 16; ++column) {
            float sum = 0;
            for (std::size_t k = 0; k < 16; ++k)
                sum += __bfloat162float(a[row * 16 + k]) * __bfloat162float(b[column * 16 + k]);
            CHECK(d[row * 16 + column] == sum);
        }
}

TEST_CASE("bfloat16 rounds to the nearest, ties to even") {
    const auto rounded = [](float value) { return __bfloat162float(__float2bfloat16(value)); };
    CHECK(rounded(1.0f) == 1.0f);
    CHECK(rounded(0x1.01p0f) == 1.0f);
    CHECK(rounded(0x1.03p0f) == 0x1.04p0f);
    CHECK(rounded(-0x1.0101p0f) == -0x1.02p0f);
    CHECK(std::isinf(rounded(3.4e38f)));
    CHECK(std::isnan(rounded(NAN)));
}

TEST_CASE("a trace counts sectors and bank conflicts" * doctest::skip(kUnchecked)) {
    const DeviceArray x(counting(1024)), y(counting(1024));
    const emulator::Trace trace;
    launch({.name = "conflicts", .grid = 1, .block = {32, 32}}, transpose<0>, x.data(), y.data());
    launch({.name = "padded", .grid = 1, .block = {32, 32}}, transpose<1>, x.data(), y.data());
    const auto& plain = trace.counts().at("conflicts");
    const auto& padded = trace.counts().at("padded");
    CHECK(plain.load_requests == 32);
    CHECK(plain.load_bytes == 4096);
    CHECK(plain.store_sectors == 128);  // 32 lanes of 4 bytes: 4 sectors a request
    CHECK(plain.shared_requests == 64);
    CHECK(plain.bank_conflicts() == 32 * 31);  // a column lies in one bank
    CHECK(padded.bank_conflicts() == 0);
}

TEST_CASE("a graph replays what was captured") {
    const DeviceArray x(counting(100)), y(counting(100));
    const auto graph = gpu::Graph::capture([&] {
        launch({.name = "add_one", .grid = 1, .block = 128}, add_one, x.data(), y.data(), 100);
        gpu::copy_on_device(x.data(), y.data(), 100 * sizeof(float));
    });
    CHECK(graph.nodes() == 2);
    CHECK(y.to_host() == counting(100));
    graph.launch();
    graph.launch();
    CHECK(x.to_host() == counting_from(3, 100));
    CHECK_THROWS_AS(gpu::Graph::capture([&] { x.to_host(); }), cnpd::CudaError);
    CHECK(!gpu::is_capturing());
}

TEST_CASE("fault: a kernel accesses host memory" * doctest::skip(kUnchecked)) {
    const auto x = counting(128);
    const DeviceArray y(x);
    const std::string fault = fault_of([&] {
        launch({.name = "add_one", .grid = 1, .block = 128}, add_one, x.data(), y.data(), 128);
    });
    CHECK(contains(fault, "kernel add_one, block (0, 0, 0), thread ("));
    CHECK(contains(fault, "an access to the host's memory"));
}

TEST_CASE("fault: host code accesses device memory" * doctest::skip(kUnchecked)) {
    const DeviceArray x(counting(1));
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {  // ends with a segmentation fault
        ::dup2(ends[1], STDERR_FILENO);
        std::signal(SIGSEGV, SIG_DFL);
        { const emulator::DeviceAccess access; }
        volatile float value = *x.data();
        (void)value;
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string said(80, ' ');
    said.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(ends[0], said.data(), 80))));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    CHECK(contains(said, "host code accesses device memory"));
}
