// The polarizer's inference kernel: every version of the ladder, shared and class-conditional, on
// 512 channels of 4x4 positions. Reported for each, from the median of the launches (device
// events):
//
//     GFLOP/s, GB/s   2 N P C^2 operations; features, results and the maps once
//     roofline        the time that the faster of two limits measured in this run allows (a copy
//                     on the device; a large matrix product of the vendor's in the same type) as a
//                     share of the time taken
//     vs_vendor       a matrix product of the vendor's and the least that follows it, as a share of
//                     the time taken. The least that a batch norm can take is a copy of the
//                     features; for float32 it is the real one.
//
// Buffers take turns, so that what a launch reads is not in the L2 cache. From 2 to 32 times
// --batch samples; emulated, a few, to see that it runs.
//     build/cuda/bin/bench_polarizer --benchmark_filter=v5 --benchmark_out=polarizer.csv
//     build/emulated/bin/bench_polarizer --device emulated
// Without a CUDA backend it times the CPU's kernels.
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "bench/device.h"
#include "kernels/polarizer/inference.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/polarizer/versions/versions.h"
#endif
#ifdef CNPD_REAL_CUDA
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/vendor/cublas.h"
#endif

namespace {

using namespace cnpd;
using namespace cnpd::kernels;

#ifdef CNPD_HAS_CUDA
constexpr bool kOnDevice = true;
#else
constexpr bool kOnDevice = false;
#endif

// --- Memory and time -----------------------------------------------------------------------------

// A buffer where the kernels look for it.
template <typename T>
class Buffer {
  public:
    Buffer(std::int64_t count, const std::function<float(std::int64_t)>& value) : host_(count) {
        // All of them would take longer to draw than the kernels take.
        constexpr std::int64_t kPeriod = 1'000'003;
        for (std::int64_t i = 0; i < count; ++i)
            host_[i] = i < kPeriod ? static_cast<T>(value(i)) : host_[i - kPeriod];
#ifdef CNPD_HAS_CUDA
        const std::size_t bytes = host_.size() * sizeof(T);
        device_ = static_cast<T*>(gpu::allocate(bytes));
        gpu::copy_to_device(device_, host_.data(), bytes);
        host_ = {};
#endif
    }
    ~Buffer() {
#ifdef CNPD_HAS_CUDA
        gpu::release(device_);
#endif
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    T* data() {
        return kOnDevice ? device_ : host_.data();
    }

  private:
    std::vector<T> host_;
    T* device_ = nullptr;
};

// Random numbers, because a GPU computes faster on ones that need less power.
float noise(std::int64_t i) {
    auto bits = static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15u;
    bits ^= bits >> 32;
    bits *= 0xD6E8FEB86659FD93u;
    return static_cast<float>(bits >> 40) * 0x1p-23f - 1;
}

double seconds(const std::function<void()>& work) {
#ifdef CNPD_HAS_CUDA
    gpu::Event before, after;
    before.record();
    work();
    after.record();
    after.synchronize();
    return after.seconds_since(before);
#else
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
#endif
}

// Of one of `count` calls of work(i). On a device they are replayed as one graph, so that nothing
// waits for the host.
class Repeated {
  public:
    Repeated(int count, const std::function<void(std::size_t)>& work) : count_(count) {
        work(0);
        run_ = [=] {
            for (int i = 0; i < count; ++i) work(static_cast<std::size_t>(i));
        };
#ifdef CNPD_HAS_CUDA
        graph_ = std::make_shared<gpu::Graph>(gpu::Graph::capture(run_));
        run_ = [graph = graph_] { graph->launch(); };
#endif
    }
    double seconds() const {
        return ::seconds(run_) / count_;
    }

  private:
    int count_;
    std::function<void()> run_;
#ifdef CNPD_HAS_CUDA
    std::shared_ptr<gpu::Graph> graph_;
#endif
};

#ifdef CNPD_REAL_CUDA
constexpr int kCalls = 10;
#else
constexpr int kCalls = 1;
#endif

#ifdef CNPD_REAL_CUDA
double median_seconds(int calls, const std::function<void(std::size_t)>& work) {
    const Repeated repeated(calls, work);
    std::vector<double> times;
    for (int repeat = 0; repeat < 23; ++repeat)
        if (const double time = repeated.seconds(); repeat >= 3) times.push_back(time);
    return bench::median(times);
}
#endif

// --- Limits --------------------------------------------------------------------------------------

template <typename T>
constexpr bool kIsBfloat16 = sizeof(T) == 2;

struct Limits {
    double flops = 0, bytes = 0;  // a second; 0: not known here
};

template <typename T>
Limits measure_limits() {
    Limits limits;
#ifdef CNPD_REAL_CUDA
    constexpr std::int64_t kSide = kIsBfloat16<T> ? 8192 : 4096, kBytes = std::int64_t{1} << 30;
    Buffer<T> a(kSide * kSide, noise), b(kSide * kSide, noise), c(kSide * kSide, noise);
    const GemmShape shape{.m = kSide, .n = kSide, .k = kSide, .transpose_b = true};
    limits.flops = 2.0 * kSide * kSide * kSide / median_seconds(1, [&](std::size_t) {
                       if constexpr (kIsBfloat16<T>)
                           cublas::gemm_bf16(shape, a.data(), b.data(), c.data());
                       else
                           cublas::gemm(shape, a.data(), b.data(), c.data());
                   });
    void *const from = gpu::allocate(kBytes), *const to = gpu::allocate(kBytes);
    limits.bytes = 2.0 * kBytes /
                   median_seconds(1, [&](std::size_t) { gpu::copy_on_device(to, from, kBytes); });
    gpu::release(from);
    gpu::release(to);
    fmt::print("{}: {:.1f} TFLOP/s in the vendor's product of {}^3, {:.2f} TB/s in a copy\n",
               kIsBfloat16<T> ? "bfloat16" : "float32", limits.flops * 1e-12, kSide,
               limits.bytes * 1e-12);
#endif
    return limits;
}
template <typename T>
const Limits& limits() {
    static const Limits measured = measure_limits<T>();
    return measured;
}

// --- Cases ---------------------------------------------------------------------------------------

template <typename T>
struct Case {
    PolarizerShape shape;
    Buffer<T> maps;
    Buffer<float> bias;
    Buffer<std::int32_t> labels;
    struct Turn {
        Buffer<T> z, out;
    };
    std::vector<std::unique_ptr<Turn>> turns;

    explicit Case(const PolarizerShape& s)
        : shape(s),
          maps(s.classes * s.channels * s.channels, noise),
          bias(s.classes * s.channels, noise),
          labels(s.n, [&](std::int64_t i) {
              return (noise(i + 1) + 1) / 2 * 0.999f * static_cast<float>(s.classes);
          }) {
        constexpr std::int64_t kBeyondTheCache = 256 << 20;
        const std::int64_t pairs = kOnDevice ? kBeyondTheCache / (2 * activation_bytes()) + 2 : 1;
        for (std::int64_t i = 0; i < std::min<std::int64_t>(pairs, 10); ++i)
            turns.push_back(std::unique_ptr<Turn>(
                new Turn{{elements(), noise}, {elements(), [](std::int64_t) { return 0.0f; }}}));
    }
    std::int64_t elements() const { return shape.n * shape.positions * shape.channels; }
    std::int64_t activation_bytes() const {
        return elements() * static_cast<std::int64_t>(sizeof(T));
    }
    double flops() const {
        return 2.0 * static_cast<double>(elements()) * static_cast<double>(shape.channels);
    }
    double bytes() const {
        return 2.0 * static_cast<double>(activation_bytes()) +
               static_cast<double>(shape.classes * shape.channels * shape.channels) * sizeof(T);
    }
    void run(PolarizerInference<T>* version, std::size_t turn) {
        Turn& t = *turns[turn % turns.size()];
        version(shape, t.z.data(), shape.classes > 1 ? labels.data() : nullptr, nullptr, false,
                maps.data(), bias.data(), t.out.data());
    }
#ifdef CNPD_REAL_CUDA
    double vendor_seconds() {
        const GemmShape gemm{.m = shape.n * shape.positions,
                             .n = shape.channels,
                             .k = shape.channels,
                             .transpose_b = true};
        return median_seconds(kCalls, [&](std::size_t turn) {
            Turn& t = *turns[turn % turns.size()];
            if constexpr (kIsBfloat16<T>) {
                cublas::gemm_bf16(gemm, t.z.data(), maps.data(), t.out.data());
                gpu::copy_on_device(turns[(turn + 1) % turns.size()]->out.data(), t.out.data(),
                                    static_cast<std::size_t>(activation_bytes()));
            } else {
                cublas::gemm(gemm, t.z.data(), maps.data(), t.out.data());
                cuda::batch_norm_apply(t.out.data(), gemm.m, gemm.n, bias.data(), bias.data(),
                                       false, t.out.data());
            }
        });
    }
#endif
};

template <typename T>
void measure(benchmark::State& state, PolarizerInference<T>* version, const PolarizerShape& shape) {
    Case<T> c(shape);
    const Repeated repeated(kCalls, [&](std::size_t turn) { c.run(version, turn); });
    std::vector<double> times;
    for (auto _ : state) {
        times.push_back(repeated.seconds());
        state.SetIterationTime(times.back());
    }
    const double time = bench::median(times);
    state.counters["GFLOP/s"] = c.flops() / time * 1e-9;
    state.counters["GB/s"] = c.bytes() / time * 1e-9;
    if (const Limits& most = limits<T>(); most.flops > 0)
        state.counters["roofline"] =
            std::max(c.flops() / most.flops, c.bytes() / most.bytes) / time;
#ifdef CNPD_REAL_CUDA
    state.counters["vs_vendor"] = c.vendor_seconds() / time;
#endif
}

template <typename T>
void add(const std::string& version, PolarizerInference<T>* run, const PolarizerShape& shape) {
    const auto name =
        fmt::format("{}/batch:{}/C:{}/{}", version, shape.n, shape.channels,
                    shape.classes == 1 ? "shared" : fmt::format("classes:{}", shape.classes));
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
        measure<T>(state, run, shape);
    })->UseManualTime();
}

void add_all(const PolarizerShape& shape) {
#ifdef CNPD_HAS_CUDA
    const bool grouped = shape.classes > 1;
    for (const auto& version : cuda::polarizer_versions())
        if (version.supports(shape, grouped)) add(version.name, version.run, shape);
    for (const auto& version : cuda::polarizer_versions_bf16())
        if (version.supports(shape, grouped)) add(version.name, version.run, shape);
    add("dispatch", &cuda::polarizer_inference, shape);
    add("dispatch_bf16", &cuda::polarizer_inference_bf16, shape);
#else
    add("cpu", &cpu::polarizer_inference, shape);
    add("cpu_bf16", &cpu::polarizer_inference_bf16, shape);
#endif
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    const auto& options = bench::options();
    if (options.on_host() == kOnDevice) {
        fmt::print(stderr, "bench_polarizer: not on {}; this build measures {}\n",
                   options.device.str(), kOnDevice ? "--device cuda or emulated" : "--device cpu");
        return 2;
    }
    if (options.device.backend == engine::Backend::emulated) {
        for (const std::int64_t classes : {1, 3})
            add_all({.n = 8 * options.batch, .positions = 16, .channels = 128, .classes = classes});
    } else {
        for (const std::int64_t times : {2, 4, 8, 16, 32})
            for (const std::int64_t classes : {1, 10, 200})
                add_all({.n = times * options.batch,
                         .positions = 16,
                         .channels = 512,
                         .classes = classes});
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
