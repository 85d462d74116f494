// Operations of a class-conditional polarizer's step other than the products (bench_polarizer,
// bench_polarizer_training): grouping by label, the router of a-CNPD and the embedding of e-CNPD.
// Bytes are those that a contract reads and writes, relative to the memory bandwidth
// (bench/device.h).
#include <algorithm>
#include <string>

#include "bench/device.h"
#include "bench/polarizer_samples.h"
#include "kernels/embedding/embedding.h"
#include "kernels/router/routed_maps.h"
#include "kernels/router/router.h"

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::channels;
using bench::data;
using bench::integers;
using bench::measure;
using bench::options;
using engine::Tensor;

void add_grouping(std::int64_t count, std::int64_t classes) {
    bench::add(fmt::format("group_samples/samples:{}/classes:{}", count, classes),
               [=](benchmark::State& state) {
                   const PolarizerShape shape{.n = count,
                                              .positions = bench::kPositions,
                                              .channels = channels(),
                                              .classes = classes};
                   bench::Samples samples(shape);
                   measure(state, 8 * count + 4 * group_words(shape), [&] { samples.group(); });
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
          mixed(bench::values(classes * mixture.values)),
          vector(Tensor::full({channels()}, 1, options().device)),
          b(bench::values(classes * channels())) {}
    AttentionShape attention;
    MixtureShape mixture;
    Tensor queries, dqueries, keys, dkeys, shares, dshares, experts, mixed, vector, b;
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
    add("routed_maps", 1, 1, [](Router& r) {
        const RoutedShape shape{r.attention.classes, r.attention.experts, r.attention.width,
                                channels()};
        const RouterParameters parameters{data(r.queries), data(r.keys),   data(r.experts),
                                          data(r.vector),  data(r.vector), data(r.vector),
                                          data(r.vector)};
        float* const none = nullptr;
        CNPD_RUN(options().device, routed_maps, shape, parameters, data(r.shares), data(r.mixed),
                 none, data(r.b));
    });
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

// The vectors of a batch's classes, with the columns of e-CNPD's embedding and of its maps.
void add_embedding(std::int64_t classes) {
    const std::int64_t count = bench::samples();
    for (const std::int64_t columns : {std::int64_t{64}, channels()}) {
        const auto add = [=](const char* pass, auto run) {
            bench::add(fmt::format("embedding_{}/samples:{}/classes:{}/columns:{}", pass, count,
                                   classes, columns),
                       [=](benchmark::State& state) {
                           Tensor table = bench::values(classes * columns);
                           Tensor of = bench::labels(count, classes);
                           Tensor rows = bench::values(count * columns);
                           const std::int64_t rows_of_table = std::min(classes, count);
                           const std::int64_t bytes =
                               4 * (rows_of_table * columns + count + count * columns);
                           measure(state, bytes,
                                   [&] { run(data(table), integers(of), data(rows)); });
                       });
        };
        add("forward", [=](const float* table, const std::int32_t* of, float* y) {
            CNPD_RUN(options().device, embedding_forward, table, of, count, columns, y);
        });
        add("backward", [=](float* dtable, const std::int32_t* of, const float* dy) {
            CNPD_RUN(options().device, embedding_backward, dy, of, count, classes, columns, dtable);
        });
    }
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    for (const std::int64_t classes : bench::numbers_of_classes()) {
        if (!options().on_host()) {
            add_grouping(options().batch, classes);
            add_grouping(32 * options().batch, classes);
        }
        add_router(classes);
        add_embedding(classes);
    }
    benchmark::RunSpecifiedBenchmarks();
}
