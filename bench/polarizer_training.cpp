// The polarizer in training, shared and class-conditional, relative to a matrix product and the
// memory bandwidth (bench/device.h). With frozen statistics: the fold of batch norm into the maps,
// the three passes through the folded maps, and the backward pass to the gradients of weight, gamma
// and beta. With batch statistics: both passes. The versions for inference are in bench_polarizer.
#include <functional>
#include <string>

#include "bench/device.h"
#include "bench/polarizer_samples.h"
#include "kernels/polarizer/batch_statistics.h"
#include "kernels/polarizer/polarizer.h"

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::channels;
using bench::data;
using bench::integers;
using bench::options;
using engine::DType;
using engine::Tensor;

struct Polarizer {
    Polarizer(std::int64_t classes, DType dtype)
        : shape{.n = bench::samples(),
                .positions = bench::kPositions,
                .channels = channels(),
                .classes = classes},
          samples(shape),
          z(bench::values(shape.n * shape.positions * shape.channels, dtype)),
          u(z.clone()),
          out(z.clone()),
          dz(z.clone()),
          weight(bench::values(classes * shape.channels * shape.channels)),
          a(bench::values(weight.elements(), dtype)),
          transposed(a.clone()),
          dweight(weight.clone()),
          da(weight.clone()),
          gamma(bench::values(classes * shape.channels)),
          beta(gamma.clone()),
          mean(gamma.clone()),
          variance(Tensor::full(gamma.shape(), 1, options().device)),
          b(gamma.clone()),
          db(gamma.clone()),
          dgamma(gamma.clone()),
          dbeta(gamma.clone()) {}

    PolarizerParameters parameters() {
        return {.weight = data(weight),
                .gamma = data(gamma),
                .beta = data(beta),
                .mean = data(mean),
                .variance = data(variance)};
    }
    template <typename T>
    PolarizerMaps<T> folded() {
        return {a.data<T>(), data(b), transposed.data<T>()};
    }
    void fold() {
        CNPD_RUN_AS(a, polarizer_fold, shape.classes, shape.channels, parameters(), a.data<T>(),
                    transposed.data<T>(), data(b));
    }
    void fold_backward() {
        CNPD_RUN(options().device, polarizer_fold_backward, shape.classes, shape.channels,
                 parameters(), data(da), data(dweight), data(dgamma));
    }
    void forward() {
        CNPD_RUN_AS(z, polarizer_forward, shape, z.data<T>(), samples.view(), folded<T>(),
                    out.data<T>());
    }
    void dgrad() {
        CNPD_RUN_AS(z, polarizer_dgrad, shape, out.data<T>(), samples.view(), folded<T>(),
                    u.data<T>());
    }
    void wgrad() {
        CNPD_RUN_AS(z, polarizer_wgrad, shape, z.data<T>(), out.data<T>(), samples.view(), data(da),
                    data(db));
    }
    void batch_forward() {
        const PolarizerBatchNorm norm{.gamma = data(gamma),
                                      .beta = data(beta),
                                      .running_mean = nullptr,
                                      .running_variance = nullptr};
        CNPD_RUN_AS(z, polarizer_batch_forward, shape, z.data<T>(), samples.view(), a.data<T>(),
                    norm, u.data<T>(), data(mean), data(variance), out.data<T>());
    }
    void batch_backward() {
        CNPD_RUN_AS(
            z, polarizer_batch_backward, shape, out.data<T>(), samples.view(),
            (PolarizerBatch<T>{z.data<T>(), u.data<T>(), data(mean), data(variance), data(gamma),
                               folded<T>()}),
            (PolarizerBatchGradients<T>{dz.data<T>(), data(da), data(dgamma), data(dbeta)}));
    }

    // Bytes of an activation and of all maps, and the operations of a product of the two.
    std::int64_t activation() const { return static_cast<std::int64_t>(z.bytes()); }
    std::int64_t maps() const { return static_cast<std::int64_t>(weight.bytes()); }
    double product() const {
        return 2.0 * static_cast<double>(z.elements()) * static_cast<double>(shape.channels);
    }

    PolarizerShape shape;
    bench::Samples samples;
    Tensor z, u, out, dz, weight, a, transposed, dweight, da, gamma, beta, mean, variance, b, db,
        dgamma, dbeta;
};

// How often a pass reads or writes an activation and the maps, and how many products it computes.
struct Times {
    std::int64_t activations, maps, products;
};

void add(const std::string& name, std::int64_t classes, DType dtype, const Times& times,
         void (Polarizer::*run)()) {
    bench::add(fmt::format("polarizer_{}/samples:{}/C:{}/{}{}", name, bench::samples(), channels(),
                           classes == 1 ? "shared" : fmt::format("classes:{}", classes),
                           bench::suffix_of(dtype)),
               [=](benchmark::State& state) {
                   Polarizer polarizer(classes, dtype);
                   if (run == &Polarizer::batch_backward) polarizer.batch_forward();
                   const double products =
                       static_cast<double>(times.products) * polarizer.product();
                   const bool rounded = dtype == DType::bfloat16;
                   const bench::Work work{
                       .bytes = static_cast<double>(times.activations * polarizer.activation() +
                                                    times.maps * polarizer.maps()),
                       .fp32 = rounded ? 0 : products,
                       .bf16_tensor = rounded ? products : 0};
                   bench::measure(state, work, [&] { (polarizer.*run)(); });
               });
}

void add_all(std::int64_t classes) {
    add("fold", classes, DType::float32, {0, 3, 0}, &Polarizer::fold);
    add("fold_backward", classes, DType::float32, {0, 3, 0}, &Polarizer::fold_backward);
    for (const DType dtype : bench::activation_types()) {
        add("forward", classes, dtype, {2, 1, 1}, &Polarizer::forward);
        add("dgrad", classes, dtype, {2, 1, 1}, &Polarizer::dgrad);
        add("wgrad", classes, dtype, {2, 1, 1}, &Polarizer::wgrad);
        add("batch_forward", classes, dtype, {3, 1, 1}, &Polarizer::batch_forward);
        add("batch_backward", classes, dtype, {5, 2, 2}, &Polarizer::batch_backward);
    }
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    add_all(1);
    for (const std::int64_t classes : bench::numbers_of_classes()) add_all(classes);
    benchmark::RunSpecifiedBenchmarks();
}
