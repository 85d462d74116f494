#include "bench/model/model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace cnpd::bench {
namespace {

constexpr double kMultiprocessors = 132, kClock = 1.7e9;
constexpr double kSchedulers = 4;         // of a multiprocessor, an instruction per clock each
constexpr double kBytesOfBanks = 32 * 4;  // 32 banks of 4 bytes
constexpr double kClocks = kMultiprocessors * kClock;

constexpr Gpu hopper(std::string_view name, double memory) {
    return {.name = name,
            .multiprocessors = kMultiprocessors,
            .memory = memory,
            .l2 = 5.5e12,
            .l1 = kBytesOfBanks * kClocks,
            .fp32 = 60e12,
            .fp64 = 30e12,
            .tf32_tensor = 395e12,
            .bf16_tensor = 790e12,
            .instructions = kSchedulers * kClocks,
            .launch = 1e-6};
}

}  // namespace

std::span<const Gpu> modelled_gpus() {
    static constexpr Gpu kGpus[] = {hopper("H100", 3.0e12), hopper("H200", 4.3e12)};
    return kGpus;
}

namespace {

// How much longer the busiest multiprocessor takes than if all had the same.
double imbalance(const Gpu& gpu, double blocks) {
    if (blocks == 0) return 1;
    const double of_each = blocks / gpu.multiprocessors;
    return std::ceil(of_each) / of_each;
}

}  // namespace

Prediction predict(const Gpu& gpu, const Work& work) {
    const double longer = imbalance(gpu, work.blocks);
    std::array<std::pair<std::string_view, double>, 8> limits{{
        {"memory", work.bytes / gpu.memory},
        {"L2", work.l2_bytes / gpu.l2},
        {"L1 and shared memory", longer * work.l1_bytes / gpu.l1},
        {"float32", longer * work.fp32 / gpu.fp32},
        {"float64", longer * work.fp64 / gpu.fp64},
        {"TF32 tensor cores", longer * work.tf32_tensor / gpu.tf32_tensor},
        {"bfloat16 tensor cores", longer * work.bf16_tensor / gpu.bf16_tensor},
        {"instructions", longer * work.instructions / gpu.instructions},
    }};
    std::stable_sort(limits.begin(), limits.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    const auto &longest = limits[0], &next = limits[1];
    const double launches = work.launches * gpu.launch;
    return {.seconds = longest.second + launches,
            .limit = launches > longest.second ? "launch" : longest.first,
            .next_seconds = next.second,
            .next = next.first};
}

std::string duration(double seconds) {
    struct Unit {
        double seconds;
        const char* name;
    };
    constexpr Unit kUnits[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}};
    for (const Unit& unit : kUnits) {
        const double value = seconds / unit.seconds;
        if (value >= 9.95) return fmt::format("{:.0f} {}", value, unit.name);
        if (value >= 0.995) return fmt::format("{:.1f} {}", value, unit.name);
        if (value >= 0.0995) return fmt::format("{:.2f} {}", value, unit.name);
    }
    return "0 s";
}

}  // namespace cnpd::bench
