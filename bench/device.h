// What the benchmarks of kernels have in common: the device they run on, how time is taken there,
// and the speed of its memory, measured in the same run.
//
// A program of this kind takes, besides Google Benchmark's flags,
//     --device cpu|cuda|emulated   (default: cuda where there is a GPU)
//     --batch N                    images; other sizes follow (default: 128, on cuda 512, emulated
//                                  2)
// and bench/gpu.sh runs every one that it finds.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "engine/dispatch.h"
#include "engine/tensor.h"
#include "kernels/common/parallel.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/common/gpu.h"
#endif

namespace cnpd::bench {

struct Options {
    engine::Device device = engine::default_device();
    std::int64_t batch = 0;
    bool on_host() const { return device.backend == engine::Backend::cpu; }
};
inline Options& options() {
    static Options options;
    return options;
}

inline std::int64_t default_batch(engine::Backend backend) {
    if (backend == engine::Backend::emulated) return 2;
    return backend == engine::Backend::cuda ? 512 : 128;
}

// Takes our options out of the command line and gives the rest to Google Benchmark.
inline void initialize(int& argc, char** argv) {
    std::vector<char*> rest{argv[0]};
    const auto value_of = [&](int& i, std::string_view name) -> const char* {
        const std::string_view argument = argv[i];
        if (argument == name && i + 1 < argc) return argv[++i];
        if (argument.starts_with(name) && argument.substr(name.size()).starts_with('='))
            return argv[i] + name.size() + 1;
        return nullptr;
    };
    try {
        for (int i = 1; i < argc; ++i) {
            if (const char* device = value_of(i, "--device"))
                options().device = engine::device_from_name(device);
            else if (const char* batch = value_of(i, "--batch"))
                options().batch = std::strtoll(batch, nullptr, 10);
            else
                rest.push_back(argv[i]);
        }
    } catch (const Error& error) {
        std::cerr << argv[0] << ": " << error.what() << '\n';
        std::exit(2);
    }
    if (options().batch < 1) options().batch = default_batch(options().device.backend);
    argc = static_cast<int>(rest.size());
    std::copy(rest.begin(), rest.end(), argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) std::exit(2);
    benchmark::AddCustomContext("device", options().device.str());
    benchmark::AddCustomContext("batch", std::to_string(options().batch));
#ifdef CNPD_REAL_CUDA
    if (!options().on_host()) benchmark::AddCustomContext("gpu", kernels::gpu::properties().name);
#endif
}

// Numbers in [-1, 1) that are not all alike.
inline engine::Tensor values(std::int64_t count) {
    std::vector<float> host(count);
    for (std::int64_t i = 0; i < count; ++i)
        host[i] = static_cast<float>((i * 2654435761u) % 2048) / 1024 - 1;
    return engine::Tensor::from(host, {count}, options().device);
}

inline double seconds_on_host(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

#ifdef CNPD_HAS_CUDA
// Between two events. The caches hold something else before: what the last run left there would
// make small buffers look fast.
inline double seconds_on_gpu(const std::function<void()>& work) {
    constexpr std::int64_t kLargerThanCaches = 256 << 20;
    static engine::Tensor other = engine::Tensor::empty(
        {options().device.backend == engine::Backend::emulated ? 1 : kLargerThanCaches},
        engine::DType::uint8, options().device);
    kernels::gpu::set_zero(other.data<std::uint8_t>(), other.bytes());
    kernels::gpu::Event start, end;
    start.record();
    work();
    end.record();
    end.synchronize();
    return end.seconds_since(start);
}
#endif

inline double seconds(const std::function<void()>& work) {
#ifdef CNPD_HAS_CUDA
    if (!options().on_host()) return seconds_on_gpu(work);
#endif
    return seconds_on_host(work);
}

inline double median(std::vector<double> times) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
}

// The shortest of 100 triads z = x + 3 y that move `bytes` on the host.
inline double triad_seconds(std::int64_t bytes) {
    const std::int64_t count = bytes / 12;
    std::vector<float> x(count, 1.0f), y(count, 2.0f), z(count);
    double best = std::numeric_limits<double>::infinity();
    for (int repeat = 0; repeat < 100; ++repeat)
        best = std::min(best, seconds_on_host([&, px = x.data(), py = y.data(), pz = z.data()] {
                            kernels::parallel_for(count, 16384,
                                                  [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
                                                      for (std::int64_t i = first; i < last; ++i)
                                                          pz[i] = px[i] + 3 * py[i];
                                                  });
                            benchmark::ClobberMemory();
                        }));
    return best;
}

// Bytes read and written in a second by a large copy on the device.
inline double copy_bandwidth() {
    static const double bandwidth = [] {
        const bool emulated = options().device.backend == engine::Backend::emulated;
        const std::int64_t bytes = emulated ? 1 << 20 : 512 << 20;
        engine::Tensor from =
            engine::Tensor::zeros({bytes}, engine::DType::uint8, options().device);
        engine::Tensor to = from.clone();
        std::vector<double> times;
        for (int i = 0; i < 23; ++i) times.push_back(seconds([&] { to.copy_from(from); }));
        times.erase(times.begin(), times.begin() + 3);
        return 2 * static_cast<double>(bytes) / median(times);
    }();
    return bandwidth;
}

// Times a kernel that moves `bytes` and sets this beside what the memory gives: on the host a triad
// of as many bytes, the shortest times of both because the machine may be shared; on a GPU a copy,
// medians. Returns the kernel's seconds.
inline double measure(benchmark::State& state, std::int64_t bytes,
                      const std::function<void()>& kernel) {
    for (int i = 0; i < 2; ++i) kernel();
    std::vector<double> times;
    for (auto _ : state) {
        times.push_back(seconds(kernel));
        state.SetIterationTime(times.back());
    }
    const auto moved = static_cast<double>(bytes);
    const double time =
        options().on_host() ? *std::min_element(times.begin(), times.end()) : median(times);
    const double memory = options().on_host() ? moved / triad_seconds(bytes) : copy_bandwidth();
    state.counters["GB/s"] = moved / time * 1e-9;
    state.counters["memory_GB/s"] = memory * 1e-9;
    state.counters["share"] = moved / time / memory;
    return time;
}

// Registers a benchmark that sets its own times.
template <class Function>
void add(const std::string& name, Function function) {
    auto* benchmark = benchmark::RegisterBenchmark(name.c_str(), function);
    benchmark->UseManualTime()->Unit(benchmark::kMicrosecond);
    if (options().device.backend == engine::Backend::emulated) benchmark->Iterations(1);
}

}  // namespace cnpd::bench
