// Pooling, relative to the memory bandwidth (bench/device.h).
#include <functional>
#include <string>

#include "bench/device.h"
#include "kernels/pooling/adaptive.h"
#include "kernels/pooling/pooling.h"

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::data;
using bench::measure;
using bench::options;
using engine::Tensor;

struct Pooling {
    Pooling(std::int64_t size, std::int64_t channels, std::int64_t window)
        : shape{.n = options().batch,
                .h = size,
                .w = size,
                .c = channels,
                .window_h = window,
                .window_w = window,
                .stride = window},
          inputs(shape.n * shape.h * shape.w * shape.c),
          outputs(shape.n * shape.out_h() * shape.out_w() * shape.c),
          x(bench::values(inputs)),
          y(bench::values(outputs)),
          argmax(Tensor::empty({outputs}, engine::DType::int32, options().device)) {
        max_forward();
    }
    void max_forward() {
        CNPD_RUN(options().device, max_pool_forward, shape, data(x), data(y),
                 bench::integers(argmax));
    }
    PoolingShape shape;
    std::int64_t inputs, outputs;
    Tensor x, y, argmax;
};

using PoolingCase = std::function<void(benchmark::State&, Pooling&)>;

void average_pool(benchmark::State& state, Pooling& t) {
    measure(state, 4 * (t.inputs + t.outputs), [&] {
        CNPD_RUN(options().device, average_pool_forward, t.shape, data(t.x), data(t.y));
    });
}

void average_pool_gradient(benchmark::State& state, Pooling& t) {
    measure(state, 4 * (t.inputs + t.outputs), [&] {
        CNPD_RUN(options().device, average_pool_backward, t.shape, data(t.y), data(t.x));
    });
}

void global_average_pool(benchmark::State& state, Pooling& t) {
    measure(state, 4 * (t.inputs + t.outputs), [&] {
        CNPD_RUN(options().device, global_average_pool_forward, t.shape, data(t.x), data(t.y));
    });
}

void global_average_pool_gradient(benchmark::State& state, Pooling& t) {
    measure(state, 4 * (t.inputs + t.outputs), [&] {
        CNPD_RUN(options().device, global_average_pool_backward, t.shape, data(t.y), data(t.x));
    });
}

void max_pool(benchmark::State& state, Pooling& t) {
    measure(state, 4 * (t.inputs + 2 * t.outputs), [&] { t.max_forward(); });
}

void max_pool_gradient(benchmark::State& state, Pooling& t) {
    measure(state, 4 * (t.inputs + 2 * t.outputs), [&] {
        CNPD_RUN(options().device, max_pool_backward, t.shape, data(t.y), bench::integers(t.argmax),
                 data(t.x));
    });
}

void add_pooling(const std::string& name, std::int64_t size, std::int64_t window,
                 std::int64_t channels, const PoolingCase& run) {
    bench::add(fmt::format("{}/HW:{}/C:{}/window:{}", name, size, channels, window),
               [=](benchmark::State& state) {
                   Pooling buffers(size, channels, window);
                   run(state, buffers);
               });
}

// To the 7x7 positions of a VGG's classifier, from images of 32x32 and of 64x64.
void add_adaptive(std::int64_t size, std::int64_t channels) {
    const AdaptivePoolingShape shape{
        .n = options().batch, .h = size, .w = size, .c = channels, .out_h = 7, .out_w = 7};
    const std::int64_t inputs = shape.n * size * size * channels;
    const std::int64_t outputs = shape.n * shape.out_h * shape.out_w * channels;
    const auto add = [=](const char* name, auto run) {
        bench::add(fmt::format("{}/HW:{}/C:{}", name, size, channels),
                   [=](benchmark::State& state) {
                       Tensor x = bench::values(inputs), y = bench::values(outputs);
                       measure(state, 4 * (inputs + outputs), [&] { run(x, y); });
                   });
    };
    add("adaptive_average_pool", [=](Tensor& x, Tensor& y) {
        CNPD_RUN(options().device, adaptive_average_pool_forward, shape, data(x), data(y));
    });
    add("adaptive_average_pool_gradient", [=](Tensor& dx, Tensor& dy) {
        CNPD_RUN(options().device, adaptive_average_pool_backward, shape, data(dy), data(dx));
    });
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    for (const std::int64_t channels : {512, 128}) {  // at the end of a ResNet-18
        add_pooling("global_average_pool", 4, 4, channels, global_average_pool);
        add_pooling("global_average_pool_gradient", 4, 4, channels, global_average_pool_gradient);
    }
    for (const std::int64_t channels : {64, 16}) {  // VGG's first windows
        add_pooling("average_pool", 32, 2, channels, average_pool);
        add_pooling("average_pool_gradient", 32, 2, channels, average_pool_gradient);
        add_pooling("max_pool", 32, 2, channels, max_pool);
        add_pooling("max_pool_gradient", 32, 2, channels, max_pool_gradient);
    }
    for (const std::int64_t size : {1, 2}) add_adaptive(size, 512);
    benchmark::RunSpecifiedBenchmarks();
}
