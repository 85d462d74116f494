// The convolutions of a PreAct-ResNet-18 training step, pass by pass: GFLOP/s counted with the
// operations of direct convolution (so Winograd can exceed the machine's peak), also relative to a
// large matrix product. On the CPU also relative to the peak measured in this run, and to oneDNN's
// direct convolution. The two alternate, so that the load of the machine affects both.
//     OMP_WAIT_POLICY=passive build/cpu/bin/bench_convolution --benchmark_filter=width64
// On a machine that is not idle, use OMP_NUM_THREADS=1 for reliable numbers.
#include <ctime>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "bench/device.h"
#include "bench/network.h"
#include "kernels/common/fma_peak.h"
#include "kernels/convolution/convolution.h"
#include "kernels/vendor/onednn.h"

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::options;
using engine::Tensor;

enum class Pass { forward, dgrad, wgrad };

// With one thread on the CPU, its CPU time, which does not include other programs.
double seconds(const std::function<void()>& body) {
    if (!options().on_host() || thread_count() > 1) return bench::seconds(body);
    const std::clock_t start = std::clock();
    body();
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

double fma_peak() {
    static const double peak = measure_fma_peak();
    return peak;
}

struct Problem {
    Problem(const ConvolutionShape& s, Pass p)
        : shape(s),
          pass(p),
          x(bench::values(s.n * s.h * s.w * s.c)),
          y(bench::values(s.n * s.out_h() * s.out_w() * s.k)),
          filter(bench::values(s.k * s.r * s.s * s.c)) {}
    double flops() const {
        return 2. * static_cast<double>(y.elements()) *
               static_cast<double>(shape.r * shape.s * shape.c);
    }
    void ours() {
        auto *px = x.data<float>(), *py = y.data<float>(), *pf = filter.data<float>();
        switch (pass) {
            case Pass::forward:
                CNPD_RUN(options().device, convolution_forward, shape, px, pf, {}, py);
                break;
            case Pass::dgrad:
                CNPD_RUN(options().device, convolution_dgrad, shape, py, pf, px);
                break;
            case Pass::wgrad:
                CNPD_RUN(options().device, convolution_wgrad, shape, px, py, pf);
                break;
        }
    }
    void direct() {
        auto *px = x.data<float>(), *py = y.data<float>(), *pf = filter.data<float>();
        switch (pass) {
            case Pass::forward:
                return onednn::convolution_forward(shape, px, pf, {}, py);
            case Pass::dgrad:
                return onednn::convolution_dgrad(shape, py, pf, px);
            case Pass::wgrad:
                return onednn::convolution_wgrad(shape, px, py, pf);
        }
    }
    ConvolutionShape shape;
    Pass pass;
    Tensor x, y, filter;
};

void run(benchmark::State& state, const ConvolutionShape& shape, Pass pass) {
    Problem problem(shape, pass);
    const bool host = options().on_host();
    problem.ours();
    if (host) problem.direct();
    std::vector<double> our_times, direct_times;
    for (auto _ : state) {
        our_times.push_back(seconds([&] { problem.ours(); }));
        if (host) direct_times.push_back(seconds([&] { problem.direct(); }));
        state.SetIterationTime(our_times.back());
    }
    const double time = bench::median(our_times), rate = problem.flops() / time;
    state.counters["GFLOP/s"] = rate / 1e9;
    state.counters["share"] = rate / bench::product_flops();
    if (!host) return;
    const double direct_time = bench::median(direct_times);
    state.counters["of_peak"] = rate / fma_peak();
    state.counters["onednn_GFLOP/s"] = problem.flops() / direct_time / 1e9;
    state.counters["speedup"] = direct_time / time;
}

void add(const std::string& name, const ConvolutionShape& shape) {
    const std::pair<const char*, Pass> passes[] = {
        {"forward", Pass::forward}, {"dgrad", Pass::dgrad}, {"wgrad", Pass::wgrad}};
    for (const auto& [pass_name, pass] : passes)
        bench::add(fmt::format("{}/{}", name, pass_name),
                   [shape, pass = pass](benchmark::State& state) { run(state, shape, pass); });
}

void add_network(std::int64_t width) {
    for (const bench::Convolution& each : bench::preact_resnet18(width, options().batch))
        add(fmt::format("width{}/{}", width, each.name), each.shape);
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    if (options().device.backend == engine::Backend::emulated)
        add_network(4);
    else
        for (const std::int64_t width : {8, 16, 64}) add_network(width);
    if (options().on_host()) {
        benchmark::AddCustomContext("oneDNN", onednn::version() + ", " + onednn::isa());
        benchmark::AddCustomContext("multiply-add peak, GFLOP/s",
                                    fmt::format("{:.0f}", fma_peak() / 1e9));
    }
    benchmark::RunSpecifiedBenchmarks();
}
