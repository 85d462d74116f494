// The same bits for any number of threads: convolutions, products and polarizers. The other kernels
// are in threads_loops_test.cpp.
#include "kernels/convolution/convolution.h"
#include "kernels/gemm/gemm.h"
#include "kernels/polarizer/batch_statistics.h"
#include "kernels/polarizer/polarizer.h"
#include "tests/support/teams.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// Every convolution algorithm, at sizes that are not divisible by the numbers of threads.
const std::vector<ConvolutionShape> convolutions = {
    {.n = 33, .h = 32, .w = 32, .c = 3, .k = 16, .r = 3, .s = 3, .pad = 1},  // a network's first
                                                                             // layer
    {.n = 128, .h = 32, .w = 32, .c = 3, .k = 64, .r = 3, .s = 3, .pad = 1},
    {.n = 5, .h = 17, .w = 13, .c = 4, .k = 7, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 37, .h = 32, .w = 32, .c = 2, .k = 2, .r = 3, .s = 3, .pad = 1},
    {.n = 37, .h = 16, .w = 16, .c = 2, .k = 4, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 37, .h = 4, .w = 4, .c = 16, .k = 16, .r = 3, .s = 3, .pad = 1},
    {.n = 65, .h = 2, .w = 2, .c = 64, .k = 128, .r = 3, .s = 3, .pad = 1},  // a VGG's last layers
    {.n = 128, .h = 2, .w = 2, .c = 256, .k = 256, .r = 3, .s = 3, .pad = 1},
    {.n = 33, .h = 16, .w = 16, .c = 32, .k = 64, .r = 1, .s = 1, .stride = 2},  // shortcuts
    {.n = 128, .h = 8, .w = 8, .c = 256, .k = 512, .r = 1, .s = 1, .stride = 2},
    {.n = 19, .h = 9, .w = 11, .c = 12, .k = 40, .r = 1, .s = 1, .stride = 2},
    {.n = 127, .h = 7, .w = 7, .c = 64, .k = 32, .r = 1, .s = 1},
    {.n = 1, .h = 64, .w = 64, .c = 3, .k = 24, .r = 7, .s = 7, .stride = 2, .pad = 3},
    {.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1},
    {.n = 33, .h = 32, .w = 32, .c = 16, .k = 16, .r = 3, .s = 3, .pad = 1},  // Winograd
    {.n = 61, .h = 16, .w = 16, .c = 64, .k = 64, .r = 3, .s = 3, .pad = 1},
    {.n = 61, .h = 8, .w = 8, .c = 136, .k = 120, .r = 3, .s = 3, .pad = 1},
    {.n = 31, .h = 4, .w = 4, .c = 320, .k = 300, .r = 3, .s = 3, .pad = 1},
    {.n = 31, .h = 19, .w = 23, .c = 40, .k = 72, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 131, .h = 16, .w = 15, .c = 96, .k = 88, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 1, .h = 32, .w = 32, .c = 64, .k = 64, .r = 3, .s = 3, .pad = 1},  // few tiles
    {.n = 3, .h = 16, .w = 15, .c = 144, .k = 200, .r = 3, .s = 3, .pad = 1},
    {.n = 1, .h = 8, .w = 7, .c = 136, .k = 120, .r = 3, .s = 3, .pad = 1},
    {.n = 2, .h = 16, .w = 16, .c = 72, .k = 80, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 1, .h = 4, .w = 4, .c = 320, .k = 300, .r = 3, .s = 3, .pad = 1},  // one tile
    {.n = 1, .h = 17, .w = 13, .c = 36, .k = 47, .r = 3, .s = 3, .stride = 2, .pad = 1},
    {.n = 1, .h = 11, .w = 7, .c = 136, .k = 120, .r = 1, .s = 1, .stride = 2}};

std::int64_t inputs(const ConvolutionShape& s) {
    return s.n * s.h * s.w * s.c;
}
std::int64_t outputs(const ConvolutionShape& s) {
    return s.n * s.out_h() * s.out_w() * s.k;
}
std::int64_t filters(const ConvolutionShape& s) {
    return s.k * s.r * s.s * s.c;
}

template <class Check>
void for_each_convolution(const Check& check) {
    for (const ConvolutionShape& s : convolutions) {
        INFO(fmt::format("{}x{}x{}x{} by {}x{}x{}, stride {}", s.n, s.h, s.w, s.c, s.k, s.r, s.s,
                         s.stride));
        check(s);
    }
}

}  // namespace

TEST_CASE("threads: a convolution's forward pass gives the same bits for any number") {
    for_each_convolution([](const ConvolutionShape& s) {
        const auto x = random_values(inputs(s)), filter = random_values(filters(s)),
                   bias = random_values(s.k), residual = random_values(outputs(s));
        for (const ConvolutionEpilogue<float>& epilogue :
             {ConvolutionEpilogue<float>{}, {bias.data(), residual.data(), true}})
            same_on_every_team(
                [&](float* y) {
                    cpu::convolution_forward(s, x.data(), filter.data(), epilogue, y);
                },
                unwritten(outputs(s)));
    });
}

TEST_CASE("threads: a convolution's gradients have the same bits for any number") {
    for_each_convolution([](const ConvolutionShape& s) {
        const auto x = random_values(inputs(s)), filter = random_values(filters(s)),
                   dy = random_values(outputs(s));
        same_on_every_team(
            [&](float* dx, float* dfilter) {
                cpu::convolution_dgrad(s, dy.data(), filter.data(), dx);
                cpu::convolution_wgrad(s, x.data(), dy.data(), dfilter);
            },
            unwritten(inputs(s)), unwritten(filters(s)));
    });
}

TEST_CASE("threads: a matrix product has the same bits for any number") {
    const std::int64_t sizes[][3] = {
        {1, 1, 1},        {128, 10, 512}, {10, 512, 128},   {1, 4099, 517},  {4099, 1, 517},
        {127, 1031, 613}, {997, 67, 211}, {1031, 509, 128}, {64, 64, 40009}, {16, 517, 131}};
    for (const auto& [m, n, k] : sizes)
        for (const bool transpose_a : {false, true})
            for (const bool transpose_b : {false, true})
                for (const float beta : {0.f, 1.f}) {
                    INFO(fmt::format("{}x{}x{} {}{} {}", m, n, k, transpose_a, transpose_b, beta));
                    const GemmShape shape = {m, n, k, transpose_a, transpose_b, beta};
                    const auto a = random_values(m * k), b = random_values(k * n);
                    same_on_every_team([&](float* c) { cpu::gemm(shape, a.data(), b.data(), c); },
                                       beta == 0 ? unwritten(m * n) : random_values(m * n));
                }
}

namespace {

const PolarizerShape polarizer_shapes[] = {{128, 16, 64, 10}, {61, 16, 128, 10}, {37, 64, 24, 3},
                                           {17, 1, 512, 43},  {3, 1024, 16, 5},  {1, 1, 1, 1},
                                           {1, 16, 136, 10},  {1, 3, 515, 2},    {131, 49, 40, 1}};

template <class Check>
void for_each_polarizer(const Check& check) {
    for (const PolarizerShape& s : polarizer_shapes) {
        INFO(fmt::format("{} samples, {} positions, {} channels, {} classes", s.n, s.positions,
                         s.channels, s.classes));
        // Random labels, and labels in order, whose samples are contiguous.
        auto labels = random_labels(s.n, static_cast<std::int32_t>(s.classes));
        check(s, labels.data());
        std::sort(labels.begin(), labels.end());
        check(s, labels.data());
        if (s.classes == 1) check(s, static_cast<const std::int32_t*>(nullptr));
    }
}

}  // namespace

TEST_CASE("threads: a polarizer gives the same bits for any number") {
    for_each_polarizer([](const PolarizerShape& s, const std::int32_t* labels) {
        const std::int64_t size = s.n * s.positions * s.channels, vectors = s.classes * s.channels;
        const auto z = random_values(size), dout = random_values(size),
                   weights = random_values(2 * s.n), a = random_values(vectors * s.channels),
                   b = random_values(vectors);
        // The two terms of a mixture.
        auto both = random_labels(2 * s.n, static_cast<std::int32_t>(s.classes));
        if (labels) std::copy_n(labels, s.n, both.begin());
        same_on_every_team(
            [&](float* out, float* sum, float* dz, float* da, float* db) {
                const PolarizerSamples samples{.labels = labels};
                const PolarizerMaps<float> maps{a.data(), b.data()};
                cpu::polarizer_forward(s, z.data(), samples, maps, out);
                cpu::polarizer_mixture(s, z.data(), {2, both.data(), weights.data(), samples}, maps,
                                       sum);
                cpu::polarizer_dgrad(s, dout.data(), samples, maps, dz);
                cpu::polarizer_wgrad(s, z.data(), dout.data(), samples, da, db);
            },
            unwritten(size), unwritten(size), unwritten(size), unwritten(vectors * s.channels),
            unwritten(vectors));
    });
}

TEST_CASE("threads: a polarizer's fold gives the same bits for any number") {
    for_each_polarizer([](const PolarizerShape& s, const std::int32_t*) {
        const std::int64_t vectors = s.classes * s.channels, maps = vectors * s.channels;
        const auto weight = random_values(maps), da = random_values(maps),
                   db = random_values(vectors), gamma = random_values(vectors),
                   beta = random_values(vectors), mean = random_values(vectors),
                   variance = random_values(vectors, 0.1f, 1);
        const PolarizerParameters parameters = {weight.data(), gamma.data(), beta.data(),
                                                mean.data(), variance.data()};
        same_on_every_team(
            [&](float* a, float* transposed, float* b, float* dweight, float* dgamma,
                float* of_shift) {
                cpu::polarizer_fold(s.classes, s.channels, parameters, a, transposed, b);
                cpu::polarizer_fold_backward(s.classes, s.channels, parameters, da.data(), dweight,
                                             dgamma);
                cpu::polarizer_shift_backward(vectors, parameters, db.data(), of_shift);
            },
            unwritten(maps), unwritten(maps), unwritten(vectors), unwritten(maps),
            unwritten(vectors), unwritten(vectors));
    });
}

TEST_CASE("threads: a polarizer with batch statistics gives the same bits for any number") {
    for_each_polarizer([](const PolarizerShape& s, const std::int32_t* labels) {
        const std::int64_t size = s.n * s.positions * s.channels, vectors = s.classes * s.channels;
        const auto z = random_values(size), dout = random_values(size),
                   weight = random_values(vectors * s.channels), gamma = random_values(vectors),
                   beta = random_values(vectors);
        same_on_every_team(
            [&](float* running_mean, float* running_variance, float* u, float* mean, float* inv_std,
                float* out, float* dz, float* dweight, float* dgamma, float* dbeta) {
                const PolarizerBatchNorm norm = {gamma.data(), beta.data(), running_mean,
                                                 running_variance};
                const PolarizerSamples samples{.labels = labels};
                cpu::polarizer_batch_forward(s, z.data(), samples, weight.data(), norm, u, mean,
                                             inv_std, out);
                cpu::polarizer_batch_backward(
                    s, dout.data(), samples,
                    {z.data(), u, mean, inv_std, gamma.data(), {weight.data(), nullptr}},
                    {dz, dweight, dgamma, dbeta});
            },
            random_values(vectors), random_values(vectors), unwritten(size), unwritten(vectors),
            unwritten(vectors), unwritten(size), unwritten(size), unwritten(vectors * s.channels),
            unwritten(vectors), unwritten(vectors));
    });
}
