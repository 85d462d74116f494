// Every version of the polarizer's product, in every shape and with a view that is not aligned.
#include "kernels/polarizer/polarizer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "tests/support/polarizer.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/polarizer/versions/versions.h"
#endif
#ifdef CNPD_EMULATED
#include "kernels/common/hopper.h"
#include "kernels/emulator/trace.h"
#endif

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

#ifdef CNPD_HAS_CUDA

// 1, primes, multiples of the tiles and one more; with several classes the last one has no sample.
std::vector<PolarizerShape> shapes() {
    return {
        {.n = 1, .positions = 1, .channels = 1, .classes = 1},
        {.n = 1, .positions = 3, .channels = 5, .classes = 2},
        {.n = 13, .positions = 7, .channels = 31, .classes = 4},
        {.n = 23, .positions = 16, .channels = 64, .classes = 3},
        {.n = 17, .positions = 16, .channels = 136, .classes = 3},
        {.n = 5, .positions = 130, .channels = 12, .classes = 3},
        {.n = 9, .positions = 16, .channels = 128, .classes = 2},
        {.n = 2, .positions = 128, .channels = 33, .classes = 1},
    };
}

template <typename T>
struct Case {
    PolarizerShape shape;
    Operand<T> z, a;
    std::vector<float> b;
    Samples samples;

    explicit Case(const PolarizerShape& s)
        : shape(s),
          z(s.n * s.positions * s.channels, true),
          a(s.classes * s.channels * s.channels, true),
          b(random_values(s.classes * s.channels)),
          samples(random_samples(s)) {}
    std::int64_t activations() const { return static_cast<std::int64_t>(z.exact.size()); }
};

struct Option {
    bool labelled, biased;
};
constexpr Option kOptions[] = {{true, true}, {true, false}, {false, true}};

// The inputs are exact, so the error is that of `channels` products summed in float32 (the tensor
// cores truncate instead of rounding: twice that), and of rounding the result to T.
template <typename T>
void check_version(const cuda::PolarizerVersion<T>& version, const Case<T>& c, const Option& option,
                   std::int64_t offset = 0) {
    if (gpu::device_count() == 0) return;
    INFO(std::string(version.name));
    CAPTURE(c.shape.n);
    CAPTURE(c.shape.positions);
    CAPTURE(c.shape.channels);
    CAPTURE(c.shape.classes);
    CAPTURE(option.labelled);
    CAPTURE(option.biased);
    Guarded<T> out(c.activations(), offset);
    const Guarded<T> z(c.z.stored, offset), a(c.a.stored, offset);
    const std::vector<float> none(c.b.size(), 0.0f);
    std::vector<float> expected(c.z.exact.size()), actual(c.z.exact.size());
    reference::polarizer_forward(
        c.shape, c.z.exact.data(), option.labelled ? c.samples.on_host() : PolarizerSamples{},
        PolarizerMaps<float>{c.a.exact.data(), option.biased ? c.b.data() : none.data(), nullptr},
        expected.data());
    Staging staging(Memory::device);
    const PolarizerSamples samples = option.labelled ? c.samples.in(staging) : PolarizerSamples{};
    version.run(c.shape, staging.pass(z), samples,
                {staging.pass(a), option.biased ? staging.pass(c.b) : nullptr, nullptr},
                staging.pass(out));
    staging.finish();
    std::copy_n(out.data(), out.size(), actual.begin());
    check_close(actual, expected, (sizeof(T) == 2 ? kBfloat16Rounding : 1e-6) * 1.001,
                1e-6 * static_cast<double>(c.shape.channels + 10), "out");
    CHECK(out.intact());
}

template <typename T>
void check_everywhere(std::span<const cuda::PolarizerVersion<T>> versions) {
    for (const PolarizerShape& shape : shapes()) {
        const Case<T> c(shape);
        for (const Option& option : kOptions)
            for (const auto& version : versions) check_version(version, c, option);
    }
    const Case<T> c({.n = 11, .positions = 16, .channels = 72, .classes = 3});
    for (const auto& version : versions) check_version(version, c, {true, true}, 1);
}

#endif

}  // namespace

#ifdef CNPD_HAS_CUDA
constexpr std::size_t kFirstAsynchronous = 2;  // of the bfloat16 versions: v5

TEST_CASE("polarizer versions: each agrees with the reference in float32") {
    check_everywhere(cuda::polarizer_versions());
}

TEST_CASE("polarizer versions: each agrees with the reference in bfloat16") {
    check_everywhere(cuda::polarizer_versions_bf16());
}

// Shapes that the versions for Hopper compute themselves: 1, 2, 3 and 5 pieces of the map; boxes of
// 8 to 64 rows; more tiles than parts and fewer; classes with a part of a tile, one tile, several,
// none. More steps of k than stages.
TEST_CASE("polarizer versions: asynchronous kernels agree with the reference") {
    const PolarizerShape shared[] = {{.n = 67, .positions = 16, .channels = 128, .classes = 1},
                                     {.n = 3, .positions = 49, .channels = 256, .classes = 1},
                                     {.n = 1, .positions = 1, .channels = 640, .classes = 1}};
    const PolarizerShape grouped[] = {{.n = 70, .positions = 16, .channels = 128, .classes = 12},
                                      {.n = 61, .positions = 16, .channels = 256, .classes = 4},
                                      {.n = 40, .positions = 8, .channels = 128, .classes = 9},
                                      {.n = 9, .positions = 64, .channels = 128, .classes = 3},
                                      {.n = 5, .positions = 192, .channels = 128, .classes = 3},
                                      {.n = 17, .positions = 32, .channels = 384, .classes = 5}};
    std::vector<std::pair<Case<bfloat16>, bool>> cases;
    for (const PolarizerShape& shape : shared) cases.emplace_back(Case<bfloat16>(shape), false);
    for (const PolarizerShape& shape : grouped) cases.emplace_back(Case<bfloat16>(shape), true);
    for (const auto& version : cuda::polarizer_versions_bf16().subspan(kFirstAsynchronous))
        for (const auto& [c, labelled] : cases)
            for (const bool biased : {false, true}) check_version(version, c, {labelled, biased});
}
#endif

// With AddressSanitizer the compiler does not report accesses to the emulator.
#if defined(CNPD_EMULATED) && !defined(__SANITIZE_ADDRESS__)
namespace {

// Memory accesses of one pass over a tile or more with a shared map.
template <typename T>
emulator::MemoryCounts counts_of(cuda::PolarizerProduct<T>* run, const char* name,
                                 const PolarizerShape& shape) {
    const Case<T> c(shape);
    // Rows are aligned to a sector, as on a GPU.
    std::vector<T> out(c.z.exact.size());
    Staging staging(Memory::device);
    const T* z = staging.pass(c.z.stored);
    const T* a = staging.pass(c.a.stored);
    const float* b = staging.pass(c.b);
    T* y = staging.pass(out);
    const emulator::Trace trace;
    run(shape, z, {}, {a, b, nullptr}, y);
    gpu::synchronize();
    REQUIRE(trace.counts().contains(name));
    return trace.counts().at(name);
}

constexpr PolarizerShape kOneTile{.n = 8, .positions = 16, .channels = 128, .classes = 1};

}  // namespace

// The predictions in the first comment of each version's file, for one tile of 128 rows and
// channels.
TEST_CASE("polarizer versions: v1 moves 32 sectors for every load of the map") {
    const auto counts = counts_of(cuda::polarizer_v1, "polarizer_v1", kOneTile);
    // A warp's 128 loads of the map touch 32 sectors each, those of the features one; and one load
    // of the bias.
    const std::int64_t warps = 128 * 128 / 32;
    CHECK(counts.load_requests == warps * (2 * 128 + 1));
    CHECK(counts.load_sectors == warps * (128 * (32 + 1) + 4));
}

TEST_CASE("polarizer versions: v2's padding removes its bank conflicts") {
    const auto padded = counts_of(cuda::polarizer_v2, "polarizer_v2", kOneTile);
    const auto plain = counts_of(cuda::polarizer_v2_unpadded, "polarizer_v2_unpadded", kOneTile);
    CHECK(padded.bank_conflicts() == 0);
    // Every read of the map, one for 32 multiply-adds, takes 32 wavefronts instead of 1.
    CHECK(plain.bank_conflicts() == std::int64_t{128} * 128 * 128 / 32 * 31);
    // A thirty-second of v1's loads, in whole sectors. (The bias: once per warp.)
    CHECK(padded.load_bytes == 2 * 4 * 128 * 128 * (128 / 32) + 4 * 128 * 128);
    CHECK(padded.load_sectors * 32 == padded.load_bytes);
    CHECK(padded.barriers == 16 * 4 * 2);  // blocks, pieces of 32 channels, before and after each
}

TEST_CASE("polarizer versions: v3 reads shared memory four times for 64 multiply-adds") {
    const auto counts = counts_of(cuda::polarizer_v3, "polarizer_v3", kOneTile);
    const std::int64_t warps = 8, reads = warps * 128 * 4, stores = warps * 128;
    CHECK(counts.shared_requests == reads + stores);
    // The transposing stores conflict in pairs, the reads do not.
    CHECK(counts.bank_conflicts() == stores);
}

// In the following, barriers are at most so many: delete_barriers.py leaves some out, which has to
// be noticed for other reasons.
//
// Operands of the tile, and the 32 bytes of bias that a thread reads for 16 bytes of the result.
constexpr std::int64_t kOperandBytes = 2 * 2 * 128 * 128, kBiasBytes = 2 * 2 * 128 * 128;

TEST_CASE("polarizer versions: v5 copies operands without registers") {
    const auto staged = counts_of(cuda::polarizer_v4, "polarizer_v4", kOneTile);
    const auto direct = counts_of(cuda::polarizer_v5, "polarizer_v5", kOneTile);
    CHECK(staged.copied_bytes == 0);
    CHECK(direct.copied_bytes == kOperandBytes);
    CHECK(direct.load_bytes == kOperandBytes + kBiasBytes);  // nothing else is loaded
    CHECK(direct.load_sectors * 32 >= direct.copied_bytes);
}

// ldmatrix: for each of 8 warps and 16 k, four for rows and two for columns.
constexpr std::int64_t kMatrices = 8 * (128 / 16) * (4 + 2);

// 16 bytes at a time, in whole sectors.
void check_stores(const emulator::MemoryCounts& counts) {
    CHECK(counts.store_bytes == 2 * 128 * 128);
    CHECK(counts.store_sectors * 32 == counts.store_bytes);
    CHECK(counts.store_requests == 128 * 128 * 2 / (32 * 16));
}

TEST_CASE("polarizer versions: v6 has no bank conflicts, and no epilogue in shared memory") {
    const auto counts = counts_of(cuda::polarizer_v6, "polarizer_v6", kOneTile);
    CHECK(counts.shared_requests == kOperandBytes / (32 * 16) + kMatrices);
    CHECK(counts.bank_conflicts() == 0);
    CHECK(counts.barriers <= 128 / 64);
    check_stores(counts);
}

TEST_CASE("polarizer versions: v7's threads load neither features nor maps") {
    const auto counts = counts_of(cuda::polarizer_v7, "polarizer_v7", kOneTile);
    CHECK(counts.copied_bytes == kOperandBytes);
    CHECK(counts.load_bytes == kBiasBytes);
    CHECK(counts.shared_requests == kMatrices);
    CHECK(counts.bank_conflicts() == 0);
}

TEST_CASE("polarizer versions: v8's threads do not access operands") {
    const auto counts = counts_of(cuda::polarizer_v8, "polarizer_v8", kOneTile);
    CHECK(counts.copied_bytes == kOperandBytes);
    CHECK(counts.shared_requests == 0);
    CHECK(counts.barriers <= 1 + 128 / 64);
    check_stores(counts);
}

TEST_CASE("polarizer versions: v9 copies a map once for a block, not for a tile") {
    constexpr PolarizerShape kTiles{.n = 64, .positions = 16, .channels = 128, .classes = 1};
    constexpr std::int64_t kFeatures = 2 * 64 * 16 * 128, kMap = 2 * 128 * 128, kCount = 8;
    const std::int64_t blocks = std::max(3, gpu::properties().multiprocessors);
    REQUIRE(blocks < kCount);
    const auto before = counts_of(cuda::polarizer_v8, "polarizer_v8", kTiles);
    const auto counts = counts_of(cuda::polarizer_v9, "polarizer_v9", kTiles);
    CHECK(before.copied_bytes == kFeatures + kCount * kMap);
    CHECK(counts.copied_bytes == kFeatures + blocks * kMap);
    CHECK(counts.barriers <= blocks);
}

TEST_CASE("polarizer versions: v10 reads features once for two pieces of the map") {
    constexpr PolarizerShape kTwoPieces{.n = 8, .positions = 16, .channels = 256, .classes = 1};
    constexpr std::int64_t kFeatures = 2 * 128 * 256, kMap = 2 * 256 * 256;
    const auto before = counts_of(cuda::polarizer_v9, "polarizer_v9", kTwoPieces);
    const auto counts = counts_of(cuda::polarizer_v10, "polarizer_v10", kTwoPieces);
    CHECK(before.copied_bytes == 2 * kFeatures + kMap);
    CHECK(counts.copied_bytes == kFeatures + kMap);
    CHECK(counts.store_bytes == 2 * 128 * 256);
    CHECK(counts.store_sectors * 32 == counts.store_bytes);
}

#endif

#ifdef CNPD_EMULATED
TEST_CASE("hopper: an operand's descriptor") {
    const std::uint64_t description = hopper::operand(0x2C00);
    CHECK((description & 0x3FFF) == 0x2C0);
    CHECK((description >> 16 & 0x3FFF) == 1);
    CHECK((description >> 32 & 0x3FFF) == 64);
    CHECK((description >> 49 & 7) == 0);
    CHECK((description >> 62) == 1);
}

TEST_CASE("hopper: the swizzle spreads the pieces of eight lines over all banks") {
    for (std::uint32_t piece = 0; piece < 8; ++piece) {
        std::uint32_t banks = 0;
        for (std::uint32_t line = 0; line < 8; ++line) {
            const std::uint32_t address = hopper::swizzled(128 * line + 16 * piece);
            CHECK(address / 128 == line);
            banks |= 1u << address % 128 / 16;
        }
        CHECK(banks == 0xFF);
    }
}
#endif
