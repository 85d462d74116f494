// Every version of the gradient of the polarizer's maps, in every shape, with parts of several
// lengths and with a view that is not aligned.
#include "kernels/polarizer/polarizer.h"

#include <span>
#include <string>

#include "tests/support/polarizer.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/polarizer/wgrad_versions/versions.h"
#endif
#ifdef CNPD_EMULATED
#include "kernels/emulator/trace.h"
#endif

using namespace cnpd::kernels;
using namespace cnpd::tests;

#ifdef CNPD_HAS_CUDA
namespace {

// 1, primes, multiples of the tiles and one more; tiles of 128 and of 256 channels, whole and
// partial, and of several pieces of each; with several classes the last one has no sample.
const PolarizerShape kShapes[] = {
    {.n = 1, .positions = 1, .channels = 1, .classes = 1},
    {.n = 1, .positions = 3, .channels = 5, .classes = 2},
    {.n = 13, .positions = 7, .channels = 31, .classes = 4},
    {.n = 23, .positions = 16, .channels = 64, .classes = 3},
    {.n = 17, .positions = 16, .channels = 136, .classes = 3},
    {.n = 5, .positions = 130, .channels = 16, .classes = 3},
    {.n = 9, .positions = 16, .channels = 128, .classes = 2},
    {.n = 11, .positions = 9, .channels = 256, .classes = 2},
    {.n = 2, .positions = 128, .channels = 33, .classes = 1},
    {.n = 3, .positions = 33, .channels = 264, .classes = 1},
    {.n = 70, .positions = 5, .channels = 8, .classes = 43},
};

template <typename T>
struct Case {
    PolarizerShape shape;
    Operand<T> z, dout;
    Samples samples;

    explicit Case(const PolarizerShape& s)
        : shape(s),
          z(s.n * s.positions * s.channels, true),
          dout(s.n * s.positions * s.channels, true),
          samples(random_samples(s)) {}
};

struct Option {
    bool labelled, with_b;
    int parts;
    std::int64_t offset = 0;  // of all buffers, in elements
};
constexpr Option kOptions[] = {{true, true, 0}, {true, false, 3}, {false, true, 2}};

// The products of the inputs are exact, so the error is that of a float32 sum.
template <typename T>
void check_version(const cuda::PolarizerWgradVersion<T>& version, const Case<T>& c,
                   const Option& option) {
    CAPTURE(std::string(version.name));
    CAPTURE(c.shape.n);
    CAPTURE(c.shape.positions);
    CAPTURE(c.shape.channels);
    CAPTURE(c.shape.classes);
    CAPTURE(option.labelled);
    CAPTURE(option.parts);
    const std::int64_t biases = c.shape.classes * c.shape.channels;
    Guarded<float> expected_a(biases * c.shape.channels), expected_b(biases);
    reference::polarizer_wgrad(c.shape, c.z.exact.data(), c.dout.exact.data(),
                               option.labelled ? c.samples.on_host() : PolarizerSamples{},
                               expected_a.data(), expected_b.data());
    const double tolerance = sum_tolerance(c.shape.n * c.shape.positions);
    const Guarded<T> z(c.z.stored, option.offset), dout(c.dout.stored, option.offset);
    const auto samples = staged([&](Staging& staging) {
        return option.labelled ? c.samples.in(staging) : PolarizerSamples{};
    });
    for (const auto& run : device_implementations(version.run)) {
        Guarded<float> da(biases * c.shape.channels, option.offset), db(biases, option.offset);
        if (option.with_b) {
            run(c.shape, z, dout, samples, da, db, option.parts);
            check_close(db, expected_b, 1e-5, tolerance, "db");
        } else {
            run(c.shape, z, dout, samples, da, nullptr, option.parts);
        }
        check_close(da, expected_a, 1e-5, tolerance, "da");
        CHECK(da.intact());
        CHECK(db.intact());
        // Without samples: exactly zero. (Without labels all are of class 0.)
        const std::int64_t last = (c.shape.classes - 1) * c.shape.channels;
        for (std::int64_t i = last; c.shape.classes > 1 && i < biases; ++i) {
            CHECK(da[i * c.shape.channels] == 0);
            if (option.with_b) CHECK(db[i] == 0);
        }
    }
}

template <typename T>
void check_everywhere(std::span<const cuda::PolarizerWgradVersion<T>> versions) {
    const auto slow = [](const cuda::PolarizerWgradVersion<T>& version) {
        return version.name == std::string("v1") || version.name == std::string("v2");
    };
    for (const PolarizerShape& shape : kShapes) {
        const Case<T> c(shape);
        for (const Option& option : kOptions)
            for (const auto& version : versions)
                if (shape.channels <= 136 || !slow(version)) check_version(version, c, option);
    }
    const Case<T> c({.n = 11, .positions = 16, .channels = 72, .classes = 3});
    for (const auto& version : versions) check_version(version, c, {true, true, 0, 1});
}

}  // namespace

TEST_CASE("polarizer wgrad versions: each agrees with the reference in float32") {
    check_everywhere(cuda::polarizer_wgrad_versions());
}

TEST_CASE("polarizer wgrad versions: each agrees with the reference in bfloat16") {
    check_everywhere(cuda::polarizer_wgrad_versions_bf16());
}

TEST_CASE("polarizer wgrad versions: v6 with several classes in a part") {
    const Case<bfloat16> c({.n = 40, .positions = 9, .channels = 40, .classes = 17});
    const cuda::PolarizerWgradVersion<bfloat16> v6{"v6", "", cuda::polarizer_wgrad_v6};
    for (const int parts : {1, 2, 5}) check_version(v6, c, {true, true, parts});
}

// Shapes that version 7 computes itself: boxes of 8 to 64 rows, stages with a part of their rows;
// blocks that share the channels of db by two and by four; several classes in a part and several
// parts in a class.
TEST_CASE("polarizer wgrad versions: v7, the Hopper kernel") {
    const cuda::PolarizerWgradVersion<bfloat16> v7{"v7", "", cuda::polarizer_wgrad_v7};
    const PolarizerShape shared[] = {{.n = 11, .positions = 9, .channels = 256},
                                     {.n = 30, .positions = 25, .channels = 256},
                                     {.n = 3, .positions = 35, .channels = 512}};
    for (const PolarizerShape& shape : shared)
        for (const int parts : {0, 1})
            check_version(v7, Case<bfloat16>(shape), {false, true, parts});
    const PolarizerShape grouped[] = {{.n = 40, .positions = 8, .channels = 256, .classes = 9},
                                      {.n = 21, .positions = 16, .channels = 256, .classes = 5},
                                      {.n = 21, .positions = 32, .channels = 256, .classes = 2},
                                      {.n = 9, .positions = 64, .channels = 256, .classes = 3},
                                      {.n = 4, .positions = 192, .channels = 256, .classes = 3}};
    for (const PolarizerShape& shape : grouped)
        for (const int parts : {0, 1, 3})
            check_version(v7, Case<bfloat16>(shape), {true, parts > 0, parts});
    CHECK(cuda::polarizer_wgrad_v7_supports(shared[0], false));
    CHECK(!cuda::polarizer_wgrad_v7_supports(shared[0], true));  // boxes of 9 rows
}

TEST_CASE("polarizer wgrad versions: a repeated call of v6 gives the same bits") {
    const Case<bfloat16> c({.n = 61, .positions = 16, .channels = 72, .classes = 5});
    for (const auto& run : device_implementations(cuda::polarizer_wgrad_v6)) {
        std::vector<float> first_a(5 * 72 * 72), first_b(5 * 72), a(first_a.size()), b(5 * 72);
        run(c.shape, c.z.stored, c.dout.stored, c.samples.on_backend(), first_a, first_b, 0);
        for (int repeat = 0; repeat < 2; ++repeat) {
            run(c.shape, c.z.stored, c.dout.stored, c.samples.on_backend(), a, b, 0);
            CHECK(a == first_a);
            CHECK(b == first_b);
        }
    }
}
#endif

// With AddressSanitizer the compiler does not report accesses to the emulator.
#if defined(CNPD_EMULATED) && !defined(__SANITIZE_ADDRESS__)
namespace {

// Memory accesses with one class and one part, without db.
template <typename T>
emulator::MemoryCounts counts_of(cuda::PolarizerWgrad<T>* run, const char* name,
                                 const PolarizerShape& shape) {
    const Case<T> c(shape);
    // Rows are aligned to a sector, as on a GPU.
    std::vector<float> da(static_cast<std::size_t>(shape.channels * shape.channels));
    Staging staging(Memory::device);
    const T* z = staging.pass(c.z.stored);
    const T* dout = staging.pass(c.dout.stored);
    float* of_a = staging.pass(da);
    const emulator::Trace trace;
    run(shape, z, dout, {}, of_a, nullptr, 1);
    gpu::synchronize();
    REQUIRE(trace.counts().contains(name));
    return trace.counts().at(name);
}

constexpr PolarizerShape kOneTile{.n = 8, .positions = 16, .channels = 128};
constexpr std::int64_t kRows = 128, kProducts = kRows * 128 * 128;

}  // namespace

// The predictions in the first comment of each version's file, for a sum over 128 rows.
TEST_CASE("polarizer wgrad versions: v1 moves 5 sectors for 32 multiply-adds") {
    const auto counts = counts_of(cuda::polarizer_wgrad_v1, "polarizer_wgrad_v1", kOneTile);
    CHECK(counts.load_requests == kProducts / 32 * 2);
    CHECK(counts.load_sectors == kProducts / 32 * (4 + 1));
}

TEST_CASE("polarizer wgrad versions: v2 has no bank conflicts without padding") {
    const auto counts = counts_of(cuda::polarizer_wgrad_v2, "polarizer_wgrad_v2", kOneTile);
    CHECK(counts.bank_conflicts() == 0);
    // Each element of both operands for 4 tiles of 32 channels, in whole sectors.
    CHECK(counts.load_bytes == 2 * 4 * kRows * 128 * 4);
    CHECK(counts.load_sectors * 32 == counts.load_bytes);
    CHECK(counts.barriers == 16 * 4 * 2);  // blocks, pieces of 32 rows, before and after each
}

TEST_CASE("polarizer wgrad versions: v3 reads shared memory four times for 64 multiply-adds") {
    const auto counts = counts_of(cuda::polarizer_wgrad_v3, "polarizer_wgrad_v3", kOneTile);
    const std::int64_t warps = 8, reads = warps * kRows * 4, stores = 2 * kRows * 128 / 4 / 32;
    CHECK(counts.shared_requests == reads + stores);
    CHECK(counts.bank_conflicts() == 0);
    CHECK(counts.load_bytes == 2 * 4 * kRows * 128);
}

TEST_CASE("polarizer wgrad versions: v4's parts move the same operands, and store their sums") {
    const auto one = counts_of(cuda::polarizer_wgrad_v3, "polarizer_wgrad_v3",
                               {.n = 16, .positions = 16, .channels = 128});
    const Case<float> c({.n = 16, .positions = 16, .channels = 128});
    std::vector<float> da(128 * 128);
    Staging staging(Memory::device);
    const float* z = staging.pass(c.z.stored);
    const float* dout = staging.pass(c.dout.stored);
    float* of_a = staging.pass(da);
    const emulator::Trace trace;
    cuda::polarizer_wgrad_v4(c.shape, z, dout, {}, of_a, nullptr, 2);
    gpu::synchronize();
    // Both parts' sums are written and read again.
    const auto& two = trace.counts().at("polarizer_wgrad_v4");
    CHECK(two.load_bytes == one.load_bytes + 2 * 4 * 128 * 128);
    CHECK(two.store_bytes == 3 * one.store_bytes);
}

TEST_CASE("polarizer wgrad versions: v6 has no bank conflicts, v6 without its permutation has") {
    const PolarizerShape wide{.n = 8, .positions = 16, .channels = 256};
    for (const PolarizerShape& shape : {kOneTile, wide}) {
        CAPTURE(shape.channels);
        const auto swizzled = counts_of(cuda::polarizer_wgrad_v6, "polarizer_wgrad_v6", shape);
        const auto plain =
            counts_of(cuda::polarizer_wgrad_v6_linear, "polarizer_wgrad_v6_linear", shape);
        CHECK(swizzled.bank_conflicts() == 0);
        // Copies, 512 bytes a warp, of each piece of 128 channels of z and twice as many of dout at
        // most; and a warp's 8 loads for 64 x 64 channels and 16 rows.
        const std::int64_t blocks = shape.channels / 128, rows_of_block = shape.channels;
        const std::int64_t copies = blocks * kRows * (rows_of_block + 128) * 2 / 512;
        const std::int64_t loads = (shape.channels / 64) * (shape.channels / 64) * (kRows / 16) * 8;
        CHECK(swizzled.shared_requests == copies + loads);
        CHECK(swizzled.load_bytes == copies * 512);
        CHECK(swizzled.load_sectors * 32 == swizzled.load_bytes);
        // Each matrix of 8 lines has them in the same banks: 8 wavefronts instead of 1.
        CHECK(plain.bank_conflicts() == loads * 4 * 7);
        CHECK(plain.shared_requests == swizzled.shared_requests);
    }
}

TEST_CASE("polarizer wgrad versions: v6 stores whole sectors directly from registers") {
    const auto counts = counts_of(cuda::polarizer_wgrad_v6, "polarizer_wgrad_v6", kOneTile);
    CHECK(counts.store_bytes == 4 * 128 * 128);
    CHECK(counts.store_sectors * 32 == counts.store_bytes);
    CHECK(counts.store_requests == 128 * 128 / (32 * 2));
    CHECK(counts.barriers == 1 * (kRows / 32 + 1));
}
#endif
