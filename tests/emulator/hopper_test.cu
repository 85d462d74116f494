// Asynchronous copies and products in the emulator, and the errors of kernels that use them.
#include "kernels/common/hopper.h"

#include <vector>

#include <doctest/doctest.h>

#include "kernels/common/bfloat16.h"
#include "kernels/emulator/trace.h"
#include "tests/emulator/faults.h"
#include "tests/support/device.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;
using hopper::Barrier;

namespace {

constexpr int kRows = 64, kColumns = 128, kDepth = 64, kChunks = 5, kStages = 2;
constexpr int kLine = 2 * kDepth, kABytes = kRows * kLine, kBBytes = kColumns * kLine;
constexpr int kStageBytes = kABytes + kBBytes, kConsumers = 128;
constexpr std::size_t kShared = 1024 + kStages * kStageBytes + 2 * kStages * sizeof(Barrier);

enum class Omit {
    nothing,
    publish,           // the barriers are not published
    wait_for_copy,     // products start before the data has arrived
    wait_for_release,  // copies do not wait until a stage has been released
    begin,
    commit,
    wait_for_products,
    release_later,  // a stage is released before the wait for its products
    touch_registers_later,
    fence,
    fence_earlier,  // the fence comes after the barrier
    barrier,
};

struct Operands {
    hopper::TensorMap a, b;  // [64,K], [128,K]
};

struct Memory {
    unsigned char* stage;
    Barrier *full, *empty;  // [stages]

    __device__ explicit Memory(unsigned char* raw) {
        stage = raw + (1024 - hopper::shared_address(raw) % 1024) % 1024;
        full = reinterpret_cast<Barrier*>(stage + kStages * kStageBytes);
        empty = full + kStages;
    }
};

template <Omit Omitted>
__device__ void produce(const Operands& operands, const Memory& memory) {
    for (int chunk = 0; chunk < kChunks; ++chunk) {
        const int at = chunk % kStages;
        const auto parity = static_cast<unsigned>(chunk / kStages % 2);
        if constexpr (Omitted != Omit::wait_for_release) hopper::wait(memory.empty[at], parity ^ 1);
        hopper::arrive_expecting(memory.full[at], kStageBytes);
        unsigned char* const to = memory.stage + at * kStageBytes;
        hopper::copy_box(operands.a, chunk * kDepth, 0, 0, to, memory.full[at]);
        for (int half = 0; half < 2; ++half)
            hopper::copy_box(operands.b, chunk * kDepth, 64 * half, 0,
                             to + kABytes + 64 * half * kLine, memory.full[at]);
    }
}

__device__ void store_sums(const float (&sum)[64], float* out) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    for (int i = 0; i < 64; ++i) {
        const int row = 16 * warp + lane / 4 + i / 2 % 2 * 8;
        out[row * kColumns + 8 * (i / 4) + 2 * (lane % 4) + i % 2] = sum[i];
    }
}

__device__ void multiply_stage(const unsigned char* stage, bool first, float (&sum)[64]) {
    const auto a = hopper::operand(hopper::shared_address(stage)),
               b = hopper::operand(hopper::shared_address(stage + kABytes));
    for (int k = 0; k < kDepth / 16; ++k) hopper::multiply(sum, a + 2 * k, b + 2 * k, !first || k);
}

template <Omit Omitted>
__device__ void consume(const Memory& memory, float* out) {
    float sum[64];
    for (int chunk = 0; chunk < kChunks; ++chunk) {
        const int at = chunk % kStages;
        const auto parity = static_cast<unsigned>(chunk / kStages % 2);
        const auto release = [&] {
            if (threadIdx.x % 32 == 0) hopper::arrive(memory.empty[at]);
        };
        if constexpr (Omitted != Omit::wait_for_copy) hopper::wait(memory.full[at], parity);
        if constexpr (Omitted != Omit::begin) hopper::begin_products();
        multiply_stage(memory.stage + at * kStageBytes, chunk == 0, sum);
        if constexpr (Omitted == Omit::touch_registers_later) sum[5] += 1;
        if constexpr (Omitted != Omit::commit) hopper::commit_products();
        if constexpr (Omitted == Omit::release_later) release();
        if constexpr (Omitted != Omit::wait_for_products) hopper::wait_for_products<0>();
        if constexpr (Omitted != Omit::release_later) release();
    }
    hopper::use_after_wait(sum);
    store_sums(sum, out);
}

// out [64,128] = a b, chunks of K streamed by a fifth warp.
template <Omit Omitted>
__global__ void stream(const __grid_constant__ Operands operands, float* out) {
    CNPD_DYNAMIC_SHARED(unsigned char, raw);
    const Memory memory(raw);
    if (threadIdx.x == 0) {
        for (int i = 0; i < kStages; ++i) {
            hopper::init(memory.full[i], 1);
            hopper::init(memory.empty[i], kConsumers / 32);
        }
        if constexpr (Omitted != Omit::publish) hopper::publish_barriers();
    }
    __syncthreads();
    if (threadIdx.x < kConsumers)
        consume<Omitted>(memory, out);
    else if (threadIdx.x == kConsumers)
        produce<Omitted>(operands, memory);
}

// The same of one chunk that the threads store themselves.
template <Omit Omitted>
__global__ void stored(const bfloat16* a, const bfloat16* b, float* out) {
    CNPD_DYNAMIC_SHARED(unsigned char, raw);
    const std::uint32_t begin = (hopper::shared_address(raw) + 1023) / 1024 * 1024;
    unsigned char* const base = raw - hopper::shared_address(raw);
    for (int i = static_cast<int>(threadIdx.x); i < (kRows + kColumns) * kDepth; i += kConsumers) {
        const bfloat16 value = i < kRows * kDepth ? a[i] : b[i - kRows * kDepth];
        const auto to = hopper::swizzled(begin + 2 * static_cast<std::uint32_t>(i));
        *reinterpret_cast<bfloat16*>(base + to) = value;
    }
    if constexpr (Omitted != Omit::fence && Omitted != Omit::fence_earlier)
        hopper::fence_proxy_async();
    if constexpr (Omitted != Omit::barrier) __syncthreads();
    if constexpr (Omitted == Omit::fence_earlier) hopper::fence_proxy_async();
    float sum[64];
    hopper::begin_products();
    multiply_stage(base + begin, true, sum);
    hopper::commit_products();
    hopper::wait_for_products<0>();
    store_sums(sum, out);
}

// Copied boxes read with ordinary loads; then the next box is copied to the same place. OfWarp: a
// lane arrives for its warp.
template <Omit Omitted, bool OfWarp = false>
__global__ void read_boxes(const __grid_constant__ Operands operands, float* out) {
    CNPD_DYNAMIC_SHARED(unsigned char, raw);
    const Memory memory(raw);
    if (threadIdx.x == 0) {
        hopper::init(*memory.full, 1);
        hopper::init(*memory.empty, OfWarp ? kConsumers / 32 : kConsumers);
        hopper::publish_barriers();
    }
    __syncthreads();
    const int i = static_cast<int>(threadIdx.x);
    for (int chunk = 0; chunk < kChunks; ++chunk) {
        const auto parity = static_cast<unsigned>(chunk % 2);
        if (i == 0) {
            if constexpr (Omitted != Omit::wait_for_release)
                hopper::wait(*memory.empty, parity ^ 1);
            hopper::arrive_expecting(*memory.full, kABytes);
            hopper::copy_box(operands.a, chunk * kDepth, 0, 0, memory.stage, *memory.full);
        }
        if constexpr (Omitted != Omit::wait_for_copy) hopper::wait(*memory.full, parity);
        const std::uint32_t at = hopper::swizzled(static_cast<std::uint32_t>(i) * kLine / 2);
        out[chunk * kConsumers + i] = *reinterpret_cast<const bfloat16*>(memory.stage + at);
        if constexpr (OfWarp && Omitted != Omit::barrier) __syncwarp();
        if (!OfWarp || i % 32 == 0) hopper::arrive(*memory.empty);
    }
}

std::vector<bfloat16> matrix(int rows, int depth, int step) {
    std::vector<bfloat16> values;
    for (int i = 0; i < rows * depth; ++i)
        values.emplace_back(static_cast<float>(i * step % 13 - 6));
    return values;
}

hopper::TensorMap map_of(const DeviceArray<bfloat16>& x, int rows) {
    const auto line = static_cast<std::uint64_t>(2 * kChunks * kDepth);
    const auto lines = static_cast<std::uint64_t>(rows);
    return hopper::tensor_map(x.data(), {.rank = 3,
                                         .size = {kChunks * kDepth, lines, 1},
                                         .stride = {line, line * lines},
                                         .box = {kDepth, 64, 1}});
}

void check_product(const std::vector<bfloat16>& a, const std::vector<bfloat16>& b,
                   std::size_t depth, const std::vector<float>& out) {
    std::size_t wrong = 0;
    for (std::size_t row = 0; row < kRows; ++row)
        for (std::size_t column = 0; column < kColumns; ++column) {
            float sum = 0;
            for (std::size_t k = 0; k < depth; ++k)
                sum += a[row * depth + k] * b[column * depth + k];
            wrong += out[row * kColumns + column] != sum;  // small integers: exact
        }
    CHECK(wrong == 0);
}

const auto wide_a = matrix(kRows, kChunks*kDepth, 5), wide_b = matrix(kColumns, kChunks*kDepth, 3);

template <Omit Omitted>
std::string fault_of_stream(std::uint64_t seed) {
    emulator::set_seed(seed);
    const DeviceArray a(wide_a), b(wide_b);
    const DeviceArray<float> out(kRows * kColumns);
    const Operands operands{map_of(a, kRows), map_of(b, kColumns)};
    const std::string fault = fault_of([&] {
        launch({.name = "stream", .grid = 1, .block = kConsumers + 32, .dynamic_shared = kShared},
               stream<Omitted>, operands, out.data());
    });
    if (fault.empty()) check_product(wide_a, wide_b, kChunks * kDepth, out.to_host());
    return fault;
}

template <Omit Omitted>
std::string fault_of_stored(std::uint64_t seed) {
    emulator::set_seed(seed);
    const auto left = matrix(kRows, kDepth, 5), right = matrix(kColumns, kDepth, 3);
    const DeviceArray a(left), b(right);
    const DeviceArray<float> out(kRows * kColumns);
    const std::string fault = fault_of([&] {
        launch({.name = "stored", .grid = 1, .block = kConsumers, .dynamic_shared = kShared},
               stored<Omitted>, a.data(), b.data(), out.data());
    });
    if (fault.empty()) check_product(left, right, kDepth, out.to_host());
    return fault;
}

template <Omit Omitted, bool OfWarp = false>
std::string fault_of_boxes(std::uint64_t seed) {
    emulator::set_seed(seed);
    const DeviceArray a(wide_a);
    const DeviceArray<float> out(kChunks * kConsumers);
    const Operands operands{map_of(a, kRows), map_of(a, kRows)};
    const std::string fault = fault_of([&] {
        launch({.name = "read_boxes", .grid = 1, .block = kConsumers, .dynamic_shared = kShared},
               read_boxes<Omitted, OfWarp>, operands, out.data());
    });
    if (!fault.empty()) return fault;
    const auto y = out.to_host();
    for (std::size_t chunk = 0; chunk < kChunks; ++chunk)
        for (std::size_t i = 0; i < kConsumers; ++i)
            CHECK(y[chunk * kConsumers + i] ==
                  wide_a[i / 2 * kChunks * kDepth + chunk * kDepth + i % 2 * 32]);
    return fault;
}

// For every seed the fault is found and named like this.
void check_faults(std::string (*run)(std::uint64_t), const char* said) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
        const std::string fault = run(seed);
        CAPTURE(seed);
        CAPTURE(fault);
        CHECK(contains(fault, said));
        CHECK(contains(fault, ", block (0, 0, 0), thread ("));
    }
}

}  // namespace

TEST_CASE("products of streamed boxes, for any order of threads, copies and products") {
    for (std::uint64_t seed = 0; seed < 20; ++seed)
        CHECK(fault_of_stream<Omit::nothing>(seed) == "");
}

TEST_CASE("faults: waits and fences of streamed products") {
    check_faults(fault_of_stream<Omit::publish>, "has not been published for the copy engine");
    check_faults(fault_of_stream<Omit::wait_for_copy>,
                 "shared memory that");  // the product's read, or the next copy's write
    check_faults(fault_of_stream<Omit::wait_for_release>,
                 "more arrivals at a barrier than its phase expects");
    check_faults(fault_of_stream<Omit::begin>, "without begin_products()");
    check_faults(fault_of_stream<Omit::commit>, "may still read: no arrival after their wait");
    check_faults(fault_of_stream<Omit::wait_for_products>,
                 "may still read: no arrival after their wait");
    check_faults(fault_of_stream<Omit::release_later>,
                 "may still read: no arrival after their wait");
    check_faults(fault_of_stream<Omit::touch_registers_later>,
                 "changes the registers of a product in flight");
}

TEST_CASE("products of operands that the threads store" * doctest::skip(kUnchecked)) {
    for (std::uint64_t seed = 0; seed < 4; ++seed)
        CHECK(fault_of_stored<Omit::nothing>(seed) == "");
    check_faults(fault_of_stored<Omit::fence>,
                 "has written without fence_proxy_async() before the barrier");
    check_faults(fault_of_stored<Omit::fence_earlier>,
                 "has written without fence_proxy_async() before the barrier");
    check_faults(fault_of_stored<Omit::barrier>, "multiplies shared memory that");
}

TEST_CASE("boxes: the trace counts what is inside of the tensor") {
    const emulator::Trace trace;
    REQUIRE(fault_of_boxes<Omit::nothing>(0) == "");
    CHECK(trace.counts().at("read_boxes").copied_bytes == kChunks * kABytes);
    // Boxes of 64 lines of a tensor that has one.
    const DeviceArray a(wide_a);
    const Operands operands{map_of(a, 1), map_of(a, 1)};
    const DeviceArray<float> out(kChunks * kConsumers);
    launch({.name = "one_line", .grid = 1, .block = kConsumers, .dynamic_shared = kShared},
           read_boxes<Omit::nothing>, operands, out.data());
    gpu::synchronize();
    CHECK(trace.counts().at("one_line").copied_bytes == kChunks * kLine);
}

TEST_CASE("ordinary loads of copied boxes" * doctest::skip(kUnchecked)) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) CHECK(fault_of_boxes<Omit::nothing>(seed) == "");
    check_faults(fault_of_boxes<Omit::wait_for_copy>, "shared memory that");
    check_faults(fault_of_boxes<Omit::wait_for_release>, "starts a copy to shared memory that");
    for (std::uint64_t seed = 0; seed < 8; ++seed)
        CHECK(fault_of_boxes<Omit::nothing, true>(seed) == "");
    check_faults(fault_of_boxes<Omit::barrier, true>, "starts a copy to shared memory that");
}
