// The layout of wgmma's operands whose k is the slow dimension in memory, from its documentation,
// without the functions that the kernels use: an element's place is computed here.
#include "kernels/common/hopper.h"

#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/common/bfloat16.h"
#include "tests/emulator/faults.h"
#include "tests/support/device.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

constexpr int kRows = 64, kColumns = 128, kDepth = 16, kThreads = 128;

// Six blocks of 1024 bytes, each with 64 m (or n) of 8 k, so that all strides are different: a's
// two are blocks 0 and 3, b's are 1 and 4, and for the other 64 n 2 and 5.
constexpr std::size_t kBytes = 6 * 1024;
constexpr std::uint32_t kNext64 = 1024, kNext8K = 3 * 1024, kA = 0, kB = 1024;

// PTX ISA: 16-byte pieces of 8 elements; lines of 8 pieces for each k; blocks of 8 lines; the
// 128-byte swizzle exchanges the pieces of line i as (piece xor i).
std::size_t place(std::uint32_t begin, int m, int k) {
    const int block_of_m = m / 64, piece = m % 64 / 8, element = m % 8;
    const int block_of_k = k / 8, line = k % 8;
    return begin + static_cast<std::size_t>(block_of_m) * kNext64 +
           static_cast<std::size_t>(block_of_k) * kNext8K +
           static_cast<std::size_t>(line * 128 + (piece ^ line) * 16 + element * 2);
}

int value_of_a(int m, int k) {
    return (m * 5 + k * 3) % 13 - 6;
}
int value_of_b(int n, int k) {
    return (n * 7 + k * 2) % 11 - 5;
}

std::vector<unsigned char> image() {
    std::vector<unsigned char> bytes(kBytes, 0xFF);  // NaN
    const auto set = [&](std::size_t at, int value) {
        const bfloat16 stored(static_cast<float>(value));
        std::memcpy(bytes.data() + at, &stored, sizeof stored);
    };
    for (int k = 0; k < kDepth; ++k) {
        for (int m = 0; m < kRows; ++m) set(place(kA, m, k), value_of_a(m, k));
        for (int n = 0; n < kColumns; ++n) set(place(kB, n, k), value_of_b(n, k));
    }
    return bytes;
}

// `shift`: bytes by which the descriptor of a is wrong.
__global__ void multiply_image(const unsigned char* image, std::uint32_t shift, float* out) {
    CNPD_DYNAMIC_SHARED(unsigned char, raw);
    const std::uint32_t begin = (hopper::shared_address(raw) + 1023) / 1024 * 1024;
    unsigned char* const base = raw - hopper::shared_address(raw) + begin;
    for (std::size_t i = 2 * threadIdx.x; i < kBytes; i += 2 * kThreads)
        *reinterpret_cast<std::uint16_t*>(base + i) =
            *reinterpret_cast<const std::uint16_t*>(image + i);
    hopper::fence_proxy_async();
    __syncthreads();
    float sum[64];
    hopper::begin_products();
    hopper::multiply_transposed(
        sum, hopper::transposed_operand(begin + kA + shift, 16, kNext8K),  // one block of m
        hopper::transposed_operand(begin + kB, kNext64, kNext8K), false);
    hopper::commit_products();
    hopper::wait_for_products<0>();
    hopper::use_after_wait(sum);
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    for (int i = 0; i < 64; ++i) {
        const int row = 16 * warp + lane / 4 + i / 2 % 2 * 8;
        out[row * kColumns + 8 * (i / 4) + 2 * (lane % 4) + i % 2] = sum[i];
    }
}

std::string fault_of_image(std::uint32_t shift, std::vector<float>& result) {
    const DeviceArray<unsigned char> bytes(image());
    const DeviceArray<float> out(kRows * kColumns);
    const std::string fault = fault_of([&] {
        launch({.name = "multiply_image",
                .grid = 1,
                .block = kThreads,
                .dynamic_shared = kBytes + 1024},
               multiply_image, bytes.data(), shift, out.data());
    });
    if (fault.empty()) result = out.to_host();
    return fault;
}

}  // namespace

TEST_CASE("transposed operands: places of elements, counted by hand") {
    // k = 3 is line 3; m = 9 is the second element of piece 1, stored as piece 1 xor 3 = 2.
    CHECK(place(kA, 9, 3) == 3 * 128 + 2 * 16 + 2);
    // k = 13 is line 5 of the second block of k; n = 70 is element 6 of piece 0 of the second 64.
    CHECK(place(kB, 70, 13) == 1024 + 1024 + 3072 + 5 * 128 + 5 * 16 + 12);
}

TEST_CASE("transposed operands: their product") {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        emulator::set_seed(seed);
        std::vector<float> out;
        REQUIRE(fault_of_image(0, out) == "");
        std::size_t wrong = 0;
        for (int m = 0; m < kRows; ++m)
            for (int n = 0; n < kColumns; ++n) {
                int sum = 0;
                for (int k = 0; k < kDepth; ++k) sum += value_of_a(m, k) * value_of_b(n, k);
                wrong += out[static_cast<std::size_t>(m * kColumns + n)] !=
                         static_cast<float>(sum);  // small integers: exact
            }
        CHECK(wrong == 0);
    }
}

TEST_CASE("transposed operands: fields of the descriptor") {
    const std::uint64_t description = hopper::transposed_operand(0x2C00, 0x2000);
    CHECK((description & 0x3FFF) == 0x2C0);
    CHECK((description >> 16 & 0x3FFF) == 0x200);
    CHECK((description >> 32 & 0x3FFF) == 64);
    CHECK((description >> 49 & 7) == 0);
    CHECK((description >> 62) == 1);
}

TEST_CASE("faults: a transposed operand that begins within its lines") {
    std::vector<float> out;
    CHECK(contains(fault_of_image(32, out), "does not begin at a multiple of 1024 bytes"));
}
