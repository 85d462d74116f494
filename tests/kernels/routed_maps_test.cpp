// a-CNPD's maps in one kernel, and their gradients.
#include "kernels/router/routed_maps.h"

#include "tests/support/bfloat16.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// 1, primes, whole and partial tiles; groups of eight classes that are full, partial and several.
const RoutedShape kShapes[] = {
    {.classes = 1, .experts = 1, .width = 1, .channels = 1},
    {.classes = 10, .experts = 8, .width = 16, .channels = 33},
    {.classes = 8, .experts = 3, .width = 5, .channels = 64},
    {.classes = 19, .experts = 40, .width = 7, .channels = 12},
};

struct Parameters {
    std::vector<float> queries, keys, experts, gamma, beta, mean, variance;

    explicit Parameters(const RoutedShape& s)
        : queries(random_values(s.classes * s.width)),
          keys(random_values(s.experts * s.width)),
          experts(random_values(s.experts * s.channels * s.channels)),
          gamma(random_values(s.channels, 0.5f, 1)),
          beta(random_values(s.channels)),
          mean(random_values(s.channels)),
          variance(random_values(s.channels)) {
        for (float& value : variance) value = value * value + 0.01f;
    }
    RouterParameters on_host() const {
        return {queries.data(), keys.data(), experts.data(),  gamma.data(),
                beta.data(),    mean.data(), variance.data(), 1e-5f};
    }
    auto on_backend() const {
        return staged([this](Staging& s) {
            return RouterParameters{s.pass(queries), s.pass(keys), s.pass(experts),  s.pass(gamma),
                                    s.pass(beta),    s.pass(mean), s.pass(variance), 1e-5f};
        });
    }
};

struct Maps {
    Guarded<float> attention, a, transposed, b;
    explicit Maps(const RoutedShape& s)
        : attention(s.classes * s.experts),
          a(s.classes * s.channels * s.channels),
          transposed(a.size()),
          b(s.classes * s.channels) {}
};

Maps expected_maps(const RoutedShape& s, const Parameters& p) {
    Maps maps(s);
    reference::routed_maps<float>(s, p.on_host(), maps.attention.data(), maps.a.data(),
                                  maps.transposed.data(), maps.b.data());
    return maps;
}

}  // namespace

TEST_CASE("routed maps: agree with the reference") {
    for (const RoutedShape& s : kShapes) {
        CAPTURE(s.classes);
        CAPTURE(s.channels);
        const Parameters p(s);
        const Maps expected = expected_maps(s, p);
        for (const auto& route : CNPD_IMPLEMENTATIONS(routed_maps)) {
            INFO(route.backend);
            Maps maps(s);
            route(s, p.on_backend(), maps.attention, maps.a, maps.transposed, maps.b);
            check_close(maps.attention, expected.attention, 1e-5, 1e-6, "attention");
            // Factors gamma / std of up to 20.
            check_close(maps.a, expected.a, 1e-5, 2e-5, "a");
            check_close(maps.transposed, expected.transposed, 1e-5, 2e-5, "transposed");
            check_close(maps.b, expected.b, 1e-5, 2e-5, "b");
            for (const auto* part : {&maps.attention, &maps.a, &maps.transposed, &maps.b})
                CHECK(part->intact());
            Maps alone(s);
            route(s, p.on_backend(), alone.attention, alone.a, nullptr, alone.b);
            check_close(alone.a, maps.a, 0, 0, "a without the transposed maps");
        }
    }
}

TEST_CASE("routed maps: rounded once in bfloat16") {
    const RoutedShape& s = kShapes[1];
    const Parameters p(s);
    const Maps expected = expected_maps(s, p);
    const auto values = [](const Guarded<float>& of) {
        return std::vector<float>(of.data(), of.data() + of.size());
    };
    for (const auto& route : CNPD_IN_BFLOAT16(routed_maps)) {
        INFO(route.backend);
        Guarded<float> attention(expected.attention.size()), b(expected.b.size());
        Guarded<bfloat16> a(expected.a.size()), transposed(expected.a.size());
        route(s, p.on_backend(), attention, a, transposed, b);
        check_rounded(a, values(expected.a), 2e-5, "a");
        check_rounded(transposed, values(expected.transposed), 2e-5, "transposed");
        CHECK(b.intact());
    }
}

TEST_CASE("routed maps: gradients agree with the reference") {
    for (const RoutedShape& s : kShapes) {
        CAPTURE(s.classes);
        CAPTURE(s.channels);
        const Parameters p(s);
        const std::vector<float> attention = [&] {
            const Maps maps = expected_maps(s, p);
            return std::vector<float>(maps.attention.data(),
                                      maps.attention.data() + maps.attention.size());
        }();
        const auto da = random_values(s.classes * s.channels * s.channels),
                   db = random_values(s.classes * s.channels);
        struct Gradients {
            Guarded<float> queries, keys, experts, gamma, of_shift, beta;
            explicit Gradients(const RoutedShape& of)
                : queries(of.classes * of.width),
                  keys(of.experts * of.width),
                  experts(of.experts * of.channels * of.channels),
                  gamma(of.channels),
                  of_shift(of.channels),
                  beta(of.channels) {}
        } expected(s);
        reference::routed_maps_backward(s, p.on_host(), attention.data(), da.data(),
                                        {expected.queries.data(), expected.keys.data(),
                                         expected.experts.data(), expected.gamma.data()});
        reference::routed_shift_backward(s.classes, s.channels, p.on_host(), db.data(),
                                         expected.of_shift.data(), expected.beta.data());
        const double size = std::sqrt(static_cast<double>(s.classes * s.channels)) *
                            static_cast<double>(s.channels);
        for (const auto& backward : CNPD_IMPLEMENTATIONS(routed_maps_backward)) {
            INFO(backward.backend);
            Gradients g(s);
            backward(s, p.on_backend(), attention, da, staged([&](Staging& staging) {
                         return RouterGradients{staging.pass(g.queries), staging.pass(g.keys),
                                                staging.pass(g.experts), staging.pass(g.gamma)};
                     }));
            check_close(g.experts, expected.experts, 1e-5, 1e-4, "experts");
            // Sums over whole maps, of numbers of up to 20.
            check_close(g.gamma, expected.gamma, 1e-5, 2e-5 * size, "gamma");
            check_close(g.queries, expected.queries, 1e-4, 2e-5 * size, "queries");
            check_close(g.keys, expected.keys, 1e-4, 2e-5 * size, "keys");
            for (const auto* part : {&g.queries, &g.keys, &g.experts, &g.gamma})
                CHECK(part->intact());
        }
        for (const auto& backward : CNPD_IMPLEMENTATIONS(routed_shift_backward)) {
            INFO(backward.backend);
            Gradients g(s);
            backward(s.classes, s.channels, p.on_backend(), db, g.of_shift, g.beta);
            check_close(g.of_shift, expected.of_shift, 1e-5, 1e-4, "gamma");
            check_close(g.beta, expected.beta, 1e-5, 1e-5, "beta");
        }
    }
}
