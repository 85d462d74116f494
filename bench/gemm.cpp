// Plain matrix products: those of a linear layer's three passes and square ones, relative to the
// fastest product and the memory bandwidth (bench/device.h).
#include <string>

#include "bench/device.h"

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::data;
using bench::options;
using engine::Tensor;

void add(const std::string& name, const GemmShape& shape) {
    bench::add(
        fmt::format("{}/m:{}/n:{}/k:{}", name, shape.m, shape.n, shape.k),
        [=](benchmark::State& state) {
            Tensor a = bench::values(shape.m * shape.k), b = bench::values(shape.k * shape.n);
            Tensor c = bench::values(shape.m * shape.n);
            const bench::Work work{
                .bytes = static_cast<double>(4 * (a.elements() + b.elements() + c.elements())),
                .fp32 =
                    2.0 * static_cast<double>(shape.m * shape.n) * static_cast<double>(shape.k)};
            bench::measure(state, work, [&] {
                CNPD_RUN(options().device, gemm, shape, data(a), data(b), data(c));
            });
        });
}

// y [batch,out] = x [batch,in] w^T with w [out,in], then dx and dw.
void add_linear(std::int64_t in, std::int64_t out) {
    const std::int64_t batch = options().batch;
    add("linear_forward", {.m = batch, .n = out, .k = in, .transpose_b = true});
    add("linear_dgrad", {.m = batch, .n = in, .k = out});
    add("linear_wgrad", {.m = out, .n = in, .k = batch, .transpose_a = true});
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    add_linear(512, 10);  // a ResNet-18's last layer
    if (options().emulated()) {
        add("square", {.m = 96, .n = 96, .k = 96});
    } else {
        add_linear(512, 200);
        add_linear(4096, 4096);  // in a VGG's classifier
        for (const std::int64_t side : {128, 512, 1024, 2048})
            add("square", {.m = side, .n = side, .k = side});
    }
    benchmark::RunSpecifiedBenchmarks();
}
