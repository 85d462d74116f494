// Timing of the kernel benchmarks on the device, and the limits that they are compared with: the
// speed of memory and of matrix products, measured in the same run.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "bench/model/model.h"
#include "bench/operands.h"
#include "bench/options.h"
#include "engine/dispatch.h"
#include "engine/tensor.h"
#include "kernels/common/parallel.h"
#include "kernels/gemm/gemm.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/common/gpu.h"
#endif
#ifdef CNPD_REAL_CUDA
#include "kernels/vendor/cublas.h"
#endif

namespace cnpd::bench {

inline double seconds_on_host(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

#ifdef CNPD_HAS_CUDA
// Time between two events. The caches are filled with other data first, because data of the
// previous run would make small buffers look fast.
inline double seconds_on_gpu(const std::function<void()>& work) {
    constexpr std::int64_t kLargerThanCaches = 256 << 20;
    static engine::Tensor other = engine::Tensor::empty(
        {options().emulated() ? 1 : kLargerThanCaches}, engine::DType::uint8, options().device);
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

// On the host the shortest time, because the machine may be shared.
inline double typical(const std::vector<double>& times) {
    return options().on_host() ? *std::min_element(times.begin(), times.end()) : median(times);
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

// Bytes read and written per second by a large copy on the device.
inline double copy_bandwidth() {
    static const double bandwidth = [] {
        const std::int64_t bytes = options().emulated() ? 1 << 20 : 512 << 20;
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

// A large matrix product of the vendor's library (emulated: our kernel) and its operations.
struct Product {
    explicit Product(engine::DType dtype)
        : side(options().emulated()               ? 64
               : options().on_host()              ? 1024
               : dtype == engine::DType::bfloat16 ? 8192
                                                  : 4096),
          a(values(side * side, dtype)),
          b(a.clone()),
          c(a.clone()) {}
    double flops() const { return 2.0 * static_cast<double>(side * side * side); }
    void run() {
        const kernels::GemmShape shape{.m = side, .n = side, .k = side, .transpose_b = true};
#ifdef CNPD_REAL_CUDA
        if (a.dtype() == engine::DType::bfloat16)
            return kernels::cublas::gemm_bf16(shape, a.data<kernels::bfloat16>(),
                                              b.data<kernels::bfloat16>(),
                                              c.data<kernels::bfloat16>());
#endif
        CNPD_RUN(options().device, gemm, shape, data(a), data(b), data(c));
    }
    std::int64_t side;
    engine::Tensor a, b, c;
};

// Operations per second of the product with factors of this type.
inline double product_flops(engine::DType dtype = engine::DType::float32) {
    static std::map<engine::DType, double> measured;
#ifndef CNPD_REAL_CUDA
    dtype = engine::DType::float32;  // no other bfloat16 computation
#endif
    if (!measured.contains(dtype)) {
        Product product(dtype);
        std::vector<double> times;
        const int repeats = options().emulated() ? 1 : 23;
        for (int i = 0; i < repeats; ++i) times.push_back(seconds([&] { product.run(); }));
        measured[dtype] = product.flops() / typical(times);
    }
    return measured[dtype];
}

// The model's time for this work (bench/model/model.h) divided by the measured time, if the device
// is a GPU that the model knows.
inline void compare_with_model([[maybe_unused]] benchmark::State& state,
                               [[maybe_unused]] const Work& work, [[maybe_unused]] double time) {
#ifdef CNPD_REAL_CUDA
    if (options().on_host()) return;
    const std::string device = kernels::gpu::properties().name;
    for (const Gpu& gpu : modelled_gpus())
        if (device.find(gpu.name) != std::string::npos)
            state.counters["of_model"] = predict(gpu, work).seconds / time;
#endif
}

// Times a kernel and compares it with the minimal time of its work on this machine: the bytes at
// the speed of a triad of as many bytes on the host, or of a copy on a GPU; with many operations
// (fp32, bf16_tensor) also the operations at the speed of a matrix product, whichever takes longer.
// Returns the kernel's seconds.
inline double measure(benchmark::State& state, const Work& work,
                      const std::function<void()>& kernel) {
    for (int i = 0; i < 2; ++i) kernel();
    std::vector<double> times;
    for (auto _ : state) {
        times.push_back(seconds(kernel));
        state.SetIterationTime(times.back());
    }
    const double time = typical(times);
    const double memory = options().on_host()
                              ? work.bytes / triad_seconds(static_cast<std::int64_t>(work.bytes))
                              : copy_bandwidth();
    double least = work.bytes / memory;
    state.counters["GB/s"] = work.bytes / time * 1e-9;
    state.counters["memory_GB/s"] = memory * 1e-9;
    if (const double flops = work.fp32 + work.bf16_tensor; flops > 0) {
        const double product =
            product_flops(work.fp32 > 0 ? engine::DType::float32 : engine::DType::bfloat16);
        least = std::max(least, flops / product);
        state.counters["GFLOP/s"] = flops / time * 1e-9;
        state.counters["product_GFLOP/s"] = product * 1e-9;
    }
    state.counters["share"] = least / time;
    compare_with_model(state, work, time);
    return time;
}
inline double measure(benchmark::State& state, std::int64_t bytes,
                      const std::function<void()>& kernel) {
    return measure(state, Work{.bytes = static_cast<double>(bytes)}, kernel);
}

// Registers a benchmark that measures its own times.
template <class Function>
void add(const std::string& name, Function function) {
    auto* benchmark = benchmark::RegisterBenchmark(name.c_str(), function);
    benchmark->UseManualTime()->Unit(benchmark::kMicrosecond);
    if (options().emulated()) benchmark->Iterations(1);
}

}  // namespace cnpd::bench
