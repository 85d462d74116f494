// Memory accesses of batch norm's reductions, as counted by the emulator.
#include "tests/support/backends.h"

// With AddressSanitizer the compiler does not report accesses to the emulator.
#if defined(CNPD_EMULATED) && !defined(__SANITIZE_ADDRESS__)
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/emulator/trace.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

constexpr std::int64_t kRows = 2048, kChannels = 64;

template <typename T>
emulator::MemoryCounts counts_of_statistics() {
    std::vector<T> x(kRows * kChannels, T(1.0f));
    std::vector<float> mean(kChannels), variance(kChannels);
    Staging staging(Memory::device);
    const T* in = staging.pass(std::as_const(x));
    float *m = staging.pass(mean), *v = staging.pass(variance);
    const emulator::Trace trace;
    cuda::batch_norm_statistics(in, kRows, kChannels, m, v);
    gpu::synchronize();
    return trace.counts().at("batch_norm_statistics");
}

template <typename T>
emulator::MemoryCounts counts_of_backward_reduce() {
    const std::vector<T> x(kRows * kChannels, T(1.0f)), dy = x;
    const std::vector<float> of_channel(kChannels, 1.0f);
    std::vector<float> g(kChannels), gx(kChannels);
    Staging staging(Memory::device);
    const T *in = staging.pass(x), *gradient = staging.pass(dy);
    const float* c = staging.pass(of_channel);
    float *sum_g = staging.pass(g), *sum_gx = staging.pass(gx);
    const emulator::Trace trace;
    cuda::batch_norm_backward_reduce(gradient, in, kRows, kChannels, c, c, c, true, sum_g, sum_gx);
    gpu::synchronize();
    return trace.counts().at("batch_norm_backward_reduce");
}

}  // namespace

// Little more than the necessary reads, in accesses of 16 bytes: 512 bytes, 16 sectors, per warp.
// In addition the first rows, for the approximate mean, and the slabs' results.
TEST_CASE_TEMPLATE("batch norm's reductions load 16 bytes at once", T, float, bfloat16) {
    constexpr std::int64_t kSectors = kRows * kChannels * static_cast<std::int64_t>(sizeof(T)) / 32;
    const auto statistics = counts_of_statistics<T>();
    CHECK(statistics.load_sectors <= kSectors * 6 / 5);
    CHECK(statistics.load_requests <= 2 * (kSectors / 16));
    const auto backward = counts_of_backward_reduce<T>();
    CHECK(backward.load_sectors <= 2 * kSectors * 6 / 5);
    CHECK(backward.load_requests <= 2 * (2 * kSectors / 16));
}
#endif
