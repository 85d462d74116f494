// Kernels that do little with each byte, on the shapes of a ResNet-18 training step (batch 128,
// base width 64 and 16), as a share of what the memory gives: of a STREAM triad that moves as many
// bytes, measured right after each kernel. Bytes are those that a contract reads and writes; lines
// that are fetched only to be overwritten do not count, nor for the triad. A kernel that writes
// less than a third of its bytes can therefore exceed 1.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/parallel.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/pooling/pooling.h"

namespace {

using namespace cnpd::kernels;

std::vector<float> values(std::int64_t count) {
    std::vector<float> result(count);
    for (std::int64_t i = 0; i < count; ++i)
        result[i] = static_cast<float>((i * 2654435761u) % 2048) / 1024 - 1;
    return result;
}

double seconds(const std::function<void()>& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The shortest of 100 triads z = x + 3 y that move `bytes`.
double triad_seconds(std::int64_t bytes) {
    const std::int64_t count = bytes / 12;
    const std::vector<float> x = values(count), y = values(count);
    std::vector<float> z(count);
    double best = std::numeric_limits<double>::infinity();
    for (int repeat = 0; repeat < 100; ++repeat)
        best = std::min(best, seconds([&, px = x.data(), py = y.data(), pz = z.data()] {
                            parallel_for(count, 16384, [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
                                for (std::int64_t i = first; i < last; ++i)
                                    pz[i] = px[i] + 3 * py[i];
                            });
                            benchmark::ClobberMemory();
                        }));
    return best;
}

// Shortest times are compared, because the machine may be shared.
void measure(benchmark::State& state, std::int64_t bytes, const std::function<void()>& kernel) {
    kernel();
    double best = std::numeric_limits<double>::infinity();
    for (auto _ : state) {
        const double time = seconds(kernel);
        state.SetIterationTime(time);
        best = std::min(best, time);
    }
    const double triad = triad_seconds(bytes);
    state.counters["best_GB/s"] = static_cast<double>(bytes) / best * 1e-9;
    state.counters["triad_GB/s"] = static_cast<double>(bytes) / triad * 1e-9;
    state.counters["share"] = triad / best;
}

// Everything that batch norm works on, x [rows,C].
struct BatchNorm {
    explicit BatchNorm(const benchmark::State& state)
        : rows(state.range(0)),
          channels(state.range(1)),
          bytes(rows * channels * 4),
          x(values(rows * channels)),
          dy(x),
          add(x),
          y(x),
          a(values(channels)),
          b(a),
          c(a),
          sums(a),
          sums2(a) {}
    std::int64_t rows, channels, bytes;
    std::vector<float> x, dy, add, y, a, b, c, sums, sums2;
};

void statistics(benchmark::State& state) {
    BatchNorm t(state);
    measure(state, t.bytes, [&] {
        cpu::batch_norm_statistics(t.x.data(), t.rows, t.channels, t.sums.data(), t.sums2.data());
    });
}

void apply_relu(benchmark::State& state) {
    BatchNorm t(state);
    measure(state, 2 * t.bytes, [&] {
        cpu::batch_norm_apply(t.x.data(), t.rows, t.channels, t.a.data(), t.b.data(), true,
                              t.y.data());
    });
}

void backward_reduce_relu(benchmark::State& state) {
    BatchNorm t(state);
    measure(state, 2 * t.bytes, [&] {
        cpu::batch_norm_backward_reduce(t.dy.data(), t.x.data(), t.rows, t.channels, t.a.data(),
                                        t.b.data(), t.c.data(), true, t.sums.data(),
                                        t.sums2.data());
    });
}

void backward_input_relu(benchmark::State& state) {
    BatchNorm t(state);
    measure(state, 3 * t.bytes, [&] {
        cpu::batch_norm_backward_input(t.dy.data(), t.x.data(), t.rows, t.channels, t.a.data(),
                                       t.b.data(), true, t.a.data(), t.b.data(), t.c.data(),
                                       nullptr, t.y.data());
    });
}

void backward_input_relu_add(benchmark::State& state) {
    BatchNorm t(state);
    measure(state, 4 * t.bytes, [&] {
        cpu::batch_norm_backward_input(t.dy.data(), t.x.data(), t.rows, t.channels, t.a.data(),
                                       t.b.data(), true, t.a.data(), t.b.data(), t.c.data(),
                                       t.add.data(), t.y.data());
    });
}

void relu(benchmark::State& state) {
    BatchNorm t(state);
    measure(state, 2 * t.bytes,
            [&] { cpu::relu_forward(t.x.data(), t.rows * t.channels, t.y.data()); });
}

void add(benchmark::State& state) {
    BatchNorm t(state);
    measure(state, 3 * t.bytes,
            [&] { cpu::add(t.x.data(), t.dy.data(), t.rows * t.channels, t.y.data()); });
}

// The four stages of ResNet-18 at base width 64, then at 16.
void activations(benchmark::internal::Benchmark* benchmark) {
    for (const std::int64_t width : {64, 16})
        for (const std::int64_t stage : {0, 1, 2, 3})
            benchmark->Args({(128 * 1024) >> (2 * stage), width << stage});
    benchmark->ArgNames({"rows", "C"})->UseManualTime();
}

BENCHMARK(statistics)->Apply(activations);
BENCHMARK(apply_relu)->Apply(activations);
BENCHMARK(backward_reduce_relu)->Apply(activations);
BENCHMARK(backward_input_relu)->Apply(activations);
BENCHMARK(backward_input_relu_add)->Apply(activations);
BENCHMARK(relu)->Apply(activations);
BENCHMARK(add)->Apply(activations);

struct Pooling {
    explicit Pooling(const benchmark::State& state)
        : shape{.n = 128,
                .h = state.range(0),
                .w = state.range(0),
                .c = state.range(1),
                .window_h = state.range(2),
                .window_w = state.range(2),
                .stride = state.range(2)},
          inputs(shape.n * shape.h * shape.w * shape.c),
          outputs(shape.n * shape.out_h() * shape.out_w() * shape.c),
          x(values(inputs)),
          y(values(outputs)),
          argmax(outputs) {
        cpu::max_pool_forward(shape, x.data(), y.data(), argmax.data());
    }
    PoolingShape shape;
    std::int64_t inputs, outputs;
    std::vector<float> x, y;
    std::vector<std::int32_t> argmax;
};

void average_pool(benchmark::State& state) {
    Pooling t(state);
    measure(state, 4 * (t.inputs + t.outputs),
            [&] { cpu::average_pool_forward(t.shape, t.x.data(), t.y.data()); });
}

void average_pool_gradient(benchmark::State& state) {
    Pooling t(state);
    measure(state, 4 * (t.inputs + t.outputs),
            [&] { cpu::average_pool_backward(t.shape, t.y.data(), t.x.data()); });
}

void max_pool(benchmark::State& state) {
    Pooling t(state);
    measure(state, 4 * (t.inputs + 2 * t.outputs),
            [&] { cpu::max_pool_forward(t.shape, t.x.data(), t.y.data(), t.argmax.data()); });
}

void max_pool_gradient(benchmark::State& state) {
    Pooling t(state);
    measure(state, 4 * (t.inputs + 2 * t.outputs),
            [&] { cpu::max_pool_backward(t.shape, t.y.data(), t.argmax.data(), t.x.data()); });
}

// Global pooling at the end of ResNet-18, and VGG's first windows of 2x2.
void global_pools(benchmark::internal::Benchmark* benchmark) {
    benchmark->Args({4, 512, 4})->Args({4, 128, 4})->ArgNames({"HW", "C", "window"});
    benchmark->UseManualTime();
}
void window_pools(benchmark::internal::Benchmark* benchmark) {
    benchmark->Args({32, 64, 2})->Args({32, 16, 2})->ArgNames({"HW", "C", "window"});
    benchmark->UseManualTime();
}

BENCHMARK(average_pool)->Apply(global_pools)->Apply(window_pools);
BENCHMARK(average_pool_gradient)->Apply(global_pools)->Apply(window_pools);
BENCHMARK(max_pool)->Apply(window_pools);
BENCHMARK(max_pool_gradient)->Apply(window_pools);

void sgd(benchmark::State& state) {
    const std::int64_t count = state.range(0);
    const auto gradient = values(count);
    auto parameter = gradient, velocity = gradient;
    const float learning_rate = 1e-6f;
    const SgdBuffer buffer = {.gradient = gradient.data(),
                              .parameter = parameter.data(),
                              .velocity = velocity.data(),
                              .count = count,
                              .learning_rate = &learning_rate,
                              .weight_decay = 5e-4f};
    measure(state, 20 * count, [&] { cpu::sgd_step({.momentum = 0.9f}, &buffer, 1); });
}

void adam(benchmark::State& state) {
    const std::int64_t count = state.range(0);
    const auto gradient = values(count);
    std::vector<float> parameter = gradient, m(count, 0.0f), v(count, 0.0f);
    const float learning_rate = 1e-6f;
    std::int64_t updates = 9;
    const AdamBuffer buffer = {.gradient = gradient.data(),
                               .parameter = parameter.data(),
                               .first_moment = m.data(),
                               .second_moment = v.data(),
                               .count = count,
                               .learning_rate = &learning_rate,
                               .updates = &updates,
                               .weight_decay = 5e-4f};
    measure(state, 28 * count, [&] { cpu::adam_step({}, &buffer, 1); });
}

// The largest filter of each width.
BENCHMARK(sgd)->Arg(512 * 512 * 9)->Arg(128 * 128 * 9)->ArgName("count")->UseManualTime();
BENCHMARK(adam)->Arg(512 * 512 * 9)->Arg(128 * 128 * 9)->ArgName("count")->UseManualTime();

}  // namespace

BENCHMARK_MAIN();
