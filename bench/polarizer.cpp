// The polarizer's product: every version, shared and class-conditional, on 512 channels of
// 4x4 positions. Reported for each, from the median of the launches (device events):
//
//     GFLOP/s, GB/s   2 N P C^2 operations; features, results and the maps once
//     roofline        minimal time divided by the measured time; the minimal time is the longer of
//                     two, from limits measured in this run (a copy on the device; a large matrix
//                     product of the vendor's library in the same type)
//     vs_vendor       time of the vendor's matrix product and a minimum for the batch norm after
//                     it, divided by the measured time. The minimum is a copy of the features;
//                     for float32 it is the real batch norm.
//
// Launches alternate between buffers, so that their inputs are not in the L2 cache. From 2 to 32
// times --batch samples; emulated only a few, as a test that it runs, without rates. What the
// emulator can say about the versions is in ./run ladder polarizer.
//     build/cuda/bin/bench_polarizer --benchmark_filter=v10 --benchmark_out=polarizer.csv
// Without a CUDA backend it times the CPU's kernels.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "bench/device.h"
#include "bench/polarizer_samples.h"
#include "kernels/polarizer/polarizer.h"
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

// Seconds of one of `count` calls of work(i). On a device they are replayed as one graph, without
// waiting for the host.
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
        return bench::seconds(run_) / count_;
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

template <typename T>
constexpr engine::DType kType = engine::dtype_of<T>;

template <typename T>
using Product = void(const PolarizerShape&, const T*, const PolarizerSamples&,
                     const PolarizerMaps<T>&, T*);

template <typename T>
struct Case {
    PolarizerShape shape;
    engine::Tensor maps, bias;
    bench::Samples samples;
    struct Turn {
        engine::Tensor z, out;
    };
    std::vector<Turn> turns;

    explicit Case(const PolarizerShape& s)
        : shape(s),
          maps(bench::values<T>(s.classes * s.channels * s.channels)),
          bias(bench::values(s.classes * s.channels)),
          samples(s) {
        constexpr std::int64_t kBeyondTheCache = 256 << 20;
        const std::int64_t pairs = kOnDevice ? kBeyondTheCache / (2 * activation_bytes()) + 2 : 1;
        for (std::int64_t i = 0; i < std::min<std::int64_t>(pairs, 10); ++i)
            turns.push_back({bench::values<T>(elements()), bench::values<T>(elements())});
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
    void run(Product<T>* version, std::size_t turn) {
        Turn& t = turns[turn % turns.size()];
        version(shape, t.z.template data<T>(), samples.view(),
                {maps.template data<T>(), bench::data(bias)}, t.out.template data<T>());
    }
#ifdef CNPD_REAL_CUDA
    double vendor_seconds() {
        const GemmShape gemm{.m = shape.n * shape.positions,
                             .n = shape.channels,
                             .k = shape.channels,
                             .transpose_b = true};
        return median_seconds(kCalls, [&](std::size_t turn) {
            Turn& t = turns[turn % turns.size()];
            T *const z = t.z.template data<T>(), *const out = t.out.template data<T>();
            if constexpr (kType<T> == engine::DType::bfloat16) {
                cublas::gemm_bf16(gemm, z, maps.template data<T>(), out);
                turns[(turn + 1) % turns.size()].out.copy_from(t.out);
            } else {
                const float* const b = bench::data(bias);
                cublas::gemm(gemm, z, maps.template data<T>(), out);
                cuda::batch_norm_apply(out, gemm.m, gemm.n, b, b, false, out);
            }
        });
    }
#endif
};

template <typename T>
void measure(benchmark::State& state, Product<T>* version, const PolarizerShape& shape) {
    Case<T> c(shape);
    const Repeated repeated(kCalls, [&](std::size_t turn) { c.run(version, turn); });
    std::vector<double> times;
    for (auto _ : state) {
        times.push_back(repeated.seconds());
        state.SetIterationTime(times.back());
    }
    if (bench::options().emulated()) return;
    const double time = bench::median(times);
    state.counters["GFLOP/s"] = c.flops() / time * 1e-9;
    state.counters["GB/s"] = c.bytes() / time * 1e-9;
#ifdef CNPD_REAL_CUDA
    const double flops = bench::product_flops(kType<T>), bytes = bench::copy_bandwidth();
    state.counters["product_GFLOP/s"] = flops * 1e-9;
    state.counters["memory_GB/s"] = bytes * 1e-9;
    state.counters["roofline"] = std::max(c.flops() / flops, c.bytes() / bytes) / time;
    state.counters["vs_vendor"] = c.vendor_seconds() / time;
#endif
}

template <typename T>
void add(const std::string& version, Product<T>* run, const PolarizerShape& shape) {
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
    add<float>("dispatch", &cuda::polarizer_forward<float>, shape);
    add<bfloat16>("dispatch_bf16", &cuda::polarizer_forward<bfloat16>, shape);
#else
    add<float>("cpu", &cpu::polarizer_forward, shape);
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
