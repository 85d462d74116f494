// What a class-conditional polarizer's step does beside the products of the frozen map
// (bench_polarizer): grouping by label, training with the statistics of the batch, the router of
// a-CNPD and the clipping of each class's gradient. Bytes are those that a contract reads and
// writes, as a share of what the memory gives (bench/device.h); where the arithmetic counts,
// GFLOP/s stand beside them.
#include <string>
#include <vector>

#include "bench/device.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/polarizer/batch_statistics.h"
#include "kernels/router/router.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/polarizer/grouping.h"
#endif

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::measure;
using bench::options;
using engine::Tensor;

bool emulated() {
    return options().device.backend == engine::Backend::emulated;
}

// A ResNet-18's last stage, eight batches long.
std::int64_t samples() {
    return 8 * options().batch;
}
constexpr std::int64_t kPositions = 16;
std::int64_t channels() {
    return emulated() ? 16 : 512;
}

float* data(Tensor& tensor) {
    return tensor.data<float>();
}

Tensor labels(std::int64_t count, std::int64_t classes) {
    std::vector<std::int32_t> host;
    for (std::int64_t i = 0; i < count; ++i)
        host.push_back(static_cast<std::int32_t>((i * 2654435761u >> 8) % classes));
    return Tensor::from(host, {count}, options().device);
}

void add_flops(benchmark::State& state, double flops, double seconds) {
    state.counters["GFLOP/s"] = flops / seconds * 1e-9;
}

#ifdef CNPD_HAS_CUDA
void add_grouping(std::int64_t count, std::int64_t classes) {
    bench::add(fmt::format("group_by_label/samples:{}/classes:{}", count, classes),
               [=](benchmark::State& state) {
                   const cuda::GroupShape shape{.samples = count,
                                                .classes = classes,
                                                .rows_of_sample = kPositions,
                                                .rows_of_tile = 64};
                   const auto integers = [](std::int64_t size) {
                       return Tensor::empty({size}, engine::DType::int32, options().device);
                   };
                   Tensor of = labels(count, classes), order = integers(count),
                          first = integers(classes + 1), tile = integers(2 * shape.most_tiles());
                   const cuda::Groups groups{order.data<std::int32_t>(), first.data<std::int32_t>(),
                                             reinterpret_cast<int2*>(tile.data<std::int32_t>())};
                   const std::int64_t bytes = 12 * count + 8 * shape.most_tiles() + 4 * classes;
                   measure(state, bytes,
                           [&] { cuda::group_by_label(of.data<std::int32_t>(), shape, groups); });
               });
}
#endif

// Everything that the polarizer with batch statistics works on.
struct Batch {
    explicit Batch(std::int64_t classes)
        : shape{.n = samples(),
                .positions = kPositions,
                .channels = channels(),
                .classes = classes},
          of(labels(shape.n, classes)),
          z(bench::values(elements())),
          u(z.clone()),
          out(z.clone()),
          weight(bench::values(classes * shape.channels * shape.channels)),
          gamma(bench::values(classes * shape.channels)),
          beta(gamma.clone()),
          mean(gamma.clone()),
          inv_std(gamma.clone()),
          dgamma(gamma.clone()),
          dbeta(gamma.clone()) {}
    std::int64_t elements() const { return shape.n * shape.positions * shape.channels; }
    void forward() {
        const PolarizerBatchNorm norm{.weight = data(weight),
                                      .gamma = data(gamma),
                                      .beta = data(beta),
                                      .running_mean = nullptr,
                                      .running_variance = nullptr};
        CNPD_RUN(options().device, polarizer_batch_forward, shape, data(z), of.data<std::int32_t>(),
                 norm, data(u), data(mean), data(inv_std), data(out));
    }
    void backward() {
        const PolarizerBatch batch{data(u), data(mean), data(inv_std), data(gamma)};
        CNPD_RUN(options().device, polarizer_batch_backward, shape, data(out),
                 of.data<std::int32_t>(), batch, data(z), data(dgamma), data(dbeta));
    }
    PolarizerShape shape;
    Tensor of, z, u, out, weight, gamma, beta, mean, inv_std, dgamma, dbeta;
};

void add_batch_statistics(std::int64_t classes) {
    const auto name = [=](const char* pass) {
        return fmt::format("polarizer_batch_{}/samples:{}/C:{}/classes:{}", pass, samples(),
                           channels(), classes);
    };
    bench::add(name("forward"), [=](benchmark::State& state) {
        Batch batch(classes);
        const std::int64_t bytes = 4 * (3 * batch.elements() + batch.weight.elements());
        const double time = measure(state, bytes, [&] { batch.forward(); });
        add_flops(state, 2.0 * static_cast<double>(batch.elements() * channels()), time);
    });
    bench::add(name("backward"), [=](benchmark::State& state) {
        Batch batch(classes);
        batch.forward();
        measure(state, 12 * batch.elements(), [&] { batch.backward(); });
    });
}

// a-CNPD: 5 experts, queries and keys of 64 numbers, and the maps of `classes` classes.
struct Router {
    explicit Router(std::int64_t classes)
        : attention{.classes = classes, .experts = 5, .width = 64},
          mixture{
              .classes = classes, .experts = attention.experts, .values = channels() * channels()},
          queries(bench::values(classes * attention.width)),
          dqueries(queries.clone()),
          keys(bench::values(attention.experts * attention.width)),
          dkeys(keys.clone()),
          shares(bench::values(classes * attention.experts)),
          dshares(shares.clone()),
          experts(bench::values(attention.experts * mixture.values)),
          mixed(bench::values(classes * mixture.values)) {}
    AttentionShape attention;
    MixtureShape mixture;
    Tensor queries, dqueries, keys, dkeys, shares, dshares, experts, mixed;
};

void add_router(std::int64_t classes) {
    const auto add = [=](const char* name, std::int64_t times_experts, std::int64_t times_mixed,
                         auto run) {
        bench::add(fmt::format("{}/classes:{}/C:{}", name, classes, channels()),
                   [=](benchmark::State& state) {
                       Router router(classes);
                       const std::int64_t small =
                           router.queries.bytes() + router.keys.bytes() + router.shares.bytes();
                       const auto large =
                           static_cast<std::int64_t>(times_experts * router.experts.bytes() +
                                                     times_mixed * router.mixed.bytes());
                       measure(state, large > 0 ? large : static_cast<std::int64_t>(small),
                               [&] { run(router); });
                   });
    };
    add("router_attention", 0, 0, [](Router& r) {
        CNPD_RUN(options().device, router_attention, r.attention, data(r.queries), data(r.keys),
                 data(r.shares));
    });
    add("router_attention_backward", 0, 0, [](Router& r) {
        CNPD_RUN(options().device, router_attention_backward, r.attention, data(r.queries),
                 data(r.keys), data(r.shares), data(r.dshares), data(r.dqueries), data(r.dkeys));
    });
    add("mix_experts", 1, 1, [](Router& r) {
        CNPD_RUN(options().device, mix_experts, r.mixture, data(r.shares), data(r.experts),
                 data(r.mixed));
    });
    add("mix_experts_backward", 1, 1, [](Router& r) {
        CNPD_RUN(options().device, mix_experts_backward, r.mixture, data(r.shares), data(r.mixed),
                 data(r.experts));
    });
    add("mix_experts_backward_attention", 1, 1, [](Router& r) {
        CNPD_RUN(options().device, mix_experts_backward_attention, r.mixture, data(r.experts),
                 data(r.mixed), data(r.dshares));
    });
}

// The gradients of `classes` maps, gammas and betas, to a common norm for each class.
void add_clipping(std::int64_t classes) {
    bench::add(fmt::format("clip_rows/classes:{}/C:{}", classes, channels()),
               [=](benchmark::State& state) {
                   Tensor maps = bench::values(classes * channels() * channels());
                   Tensor gamma = bench::values(classes * channels()), beta = gamma.clone();
                   Tensor factors = bench::values(classes);
                   const std::vector<RowsBuffer> buffers{{data(maps), channels() * channels()},
                                                         {data(gamma), channels()},
                                                         {data(beta), channels()}};
                   const RowClipping clipping{.rows = classes, .factor = 1, .norm = 1};
                   const std::int64_t numbers = maps.elements() + 2 * gamma.elements();
                   measure(state, 8 * numbers, [&] {
                       CNPD_RUN(options().device, clip_rows, clipping, buffers.data(),
                                static_cast<std::int64_t>(buffers.size()), data(factors));
                   });
               });
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    const std::vector<std::int64_t> numbers_of_classes =
        emulated() ? std::vector<std::int64_t>{3} : std::vector<std::int64_t>{10, 200};
    for (const std::int64_t classes : numbers_of_classes) {
#ifdef CNPD_HAS_CUDA
        if (!options().on_host()) {
            add_grouping(options().batch, classes);
            add_grouping(32 * options().batch, classes);
        }
#endif
        add_batch_statistics(classes);
        add_router(classes);
        add_clipping(classes);
    }
    benchmark::RunSpecifiedBenchmarks();
}
