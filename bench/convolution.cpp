// The convolutions of a PreAct-ResNet-18 training step at batch 128, pass by pass: GFLOP/s of the
// direct sum's operations (so Winograd can exceed the machine's peak), the same as a share of the
// peak measured in this run, and the speed relative to oneDNN's direct convolution, which takes
// turns with ours so that both see the same machine.
//     OMP_WAIT_POLICY=passive build/cpu/bin/bench_convolution --benchmark_filter=width64
// On a machine that is not idle, OMP_NUM_THREADS=1 gives numbers to trust.
#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "bench/network.h"
#include "kernels/common/fma_peak.h"
#include "kernels/common/parallel.h"
#include "kernels/convolution/convolution.h"
#include "kernels/vendor/onednn.h"

namespace {

using namespace cnpd::kernels;
namespace bench = cnpd::bench;

enum class Pass { forward, dgrad, wgrad };

// With one thread, its CPU time, which other programs on the machine do not stretch.
double now() {
    if (thread_count() == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

double seconds(const std::function<void()>& body) {
    const double start = now();
    body();
    return now() - start;
}

double fma_peak() {
    static const double peak = measure_fma_peak();
    return peak;
}

std::vector<float> values(std::int64_t count) {
    std::vector<float> result(count);
    for (std::int64_t i = 0; i < count; ++i)
        result[i] = static_cast<float>((i * 2654435761u) % 2048) / 1024 - 1;
    return result;
}

void run(benchmark::State& state, const ConvolutionShape& shape, Pass pass) {
    std::vector<float> x = values(shape.n * shape.h * shape.w * shape.c);
    std::vector<float> y = values(shape.n * shape.out_h() * shape.out_w() * shape.k);
    std::vector<float> filter = values(shape.k * shape.r * shape.s * shape.c);
    const auto call = [&](auto forward, auto dgrad, auto wgrad) {
        switch (pass) {
            case Pass::forward:
                return forward(shape, x.data(), filter.data(), {}, y.data());
            case Pass::dgrad:
                return dgrad(shape, y.data(), filter.data(), x.data());
            case Pass::wgrad:
                return wgrad(shape, x.data(), y.data(), filter.data());
        }
    };
    const auto ours = [&] {
        call(cpu::convolution_forward, cpu::convolution_dgrad, cpu::convolution_wgrad);
    };
    const auto direct = [&] {
        call(onednn::convolution_forward, onednn::convolution_dgrad, onednn::convolution_wgrad);
    };
    ours();
    direct();
    std::vector<double> our_times, direct_times;
    for (auto _ : state) {
        our_times.push_back(seconds(ours));
        direct_times.push_back(seconds(direct));
        state.SetIterationTime(our_times.back());
    }
    const auto median = [](std::vector<double>& times) {
        std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
        return times[times.size() / 2];
    };
    const double flops =
        2. * static_cast<double>(y.size()) * static_cast<double>(shape.r * shape.s * shape.c);
    const double rate = flops / median(our_times);
    state.counters["GFLOP/s"] = rate / 1e9;
    state.counters["of_peak"] = rate / fma_peak();
    state.counters["onednn_GFLOP/s"] = flops / median(direct_times) / 1e9;
    state.counters["speedup"] = rate * median(direct_times) / flops;
}

void add(const std::string& name, const ConvolutionShape& shape) {
    const std::pair<const char*, Pass> passes[] = {
        {"forward", Pass::forward}, {"dgrad", Pass::dgrad}, {"wgrad", Pass::wgrad}};
    for (const auto& [pass_name, pass] : passes)
        benchmark::RegisterBenchmark(
            fmt::format("{}/{}", name, pass_name).c_str(),
            [shape, pass = pass](benchmark::State& state) { run(state, shape, pass); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
}

void add_network(std::int64_t width) {
    for (const bench::Convolution& each : bench::preact_resnet18(width, 128))
        add(fmt::format("width{}/{}", width, each.name), each.shape);
}

}  // namespace

int main(int argc, char** argv) {
    for (const std::int64_t width : {8, 16, 64}) add_network(width);
    benchmark::Initialize(&argc, argv);
    benchmark::AddCustomContext("oneDNN", onednn::version() + ", " + onednn::isa());
    benchmark::AddCustomContext("multiply-add peak, GFLOP/s",
                                fmt::format("{:.0f}", fma_peak() / 1e9));
    benchmark::RunSpecifiedBenchmarks();
}
