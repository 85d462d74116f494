// The polarizer's products, in every precision on every backend: forward, dgrad, wgrad, mixtures.
#include <numeric>
#include <span>
#include <utility>

#include "kernels/common/error.h"
#include "kernels/common/tf32.h"
#include "tests/support/bfloat16.h"
#include "tests/support/polarizer.h"
#ifdef CNPD_EMULATED
#include "kernels/emulator/trace.h"
#endif

using namespace cnpd;
using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

template <typename T>
struct Case {
    PolarizerShape shape;
    Operand<T> z, dout, a;
    std::vector<T> transposed;
    std::vector<float> b;
    Samples samples;

    explicit Case(const PolarizerShape& s, bool rounded = sizeof(T) == 2)
        : shape(s),
          z(s.n * s.positions * s.channels, rounded),
          dout(s.n * s.positions * s.channels, rounded),
          // So that sums of C products are about 1 in size.
          a(s.classes * s.channels * s.channels, rounded,
            1 / std::sqrt(static_cast<float>(s.channels))),
          transposed(transposed_maps(a.stored, s.channels)),
          b(random_values(s.classes * s.channels)),
          samples(random_samples(s)) {}
    std::int64_t activations() const { return static_cast<std::int64_t>(z.exact.size()); }
    PolarizerMaps<float> exact_maps() const { return {a.exact.data(), b.data(), nullptr}; }
    auto maps() const {
        return staged([this](Staging& staging) {
            return PolarizerMaps<T>{staging.pass(a.stored), staging.pass(b),
                                    staging.pass(transposed)};
        });
    }
};

// Sums of products are float32, and the result is rounded to T.
template <typename T>
void check_result(const Guarded<T>& actual, const std::vector<float>& expected, std::int64_t terms,
                  const char* what) {
    std::vector<float> values(static_cast<std::size_t>(actual.size()));
    std::copy_n(actual.data(), actual.size(), values.begin());
    check_close(values, expected, sizeof(T) == 2 ? kBfloat16Rounding * 1.001 : 1e-5,
                sum_tolerance(terms), what);
    CHECK(actual.intact());
}

// 1, primes, whole and partial tiles and packs.
const PolarizerShape kShapes[] = {
    {.n = 1, .positions = 1, .channels = 1, .classes = 1},
    {.n = 1, .positions = 3, .channels = 5, .classes = 2},
    {.n = 1, .positions = 16, .channels = 131, .classes = 3},
    {.n = 23, .positions = 1, .channels = 7, .classes = 4},
    {.n = 23, .positions = 5, .channels = 64, .classes = 4},
    {.n = 23, .positions = 16, .channels = 130, .classes = 4},
    {.n = 17, .positions = 16, .channels = 136, .classes = 3},
    {.n = 9, .positions = 150, .channels = 33, .classes = 3},
    {.n = 37, .positions = 16, .channels = 24, .classes = 1},
    {.n = 300, .positions = 4, .channels = 8, .classes = 43},
};

template <typename T, typename Forward>
void check_forward(const Case<T>& c, const std::vector<Implementation<Forward>>& all) {
    std::vector<float> expected(c.z.exact.size());
    reference::polarizer_forward(c.shape, c.z.exact.data(), c.samples.on_host(), c.exact_maps(),
                                 expected.data());
    for (const auto& forward : all) {
        INFO(forward.backend);
        Guarded<T> out(c.activations());
        forward(c.shape, c.z.stored, c.samples.on_backend(), c.maps(), out);
        check_result(out, expected, c.shape.channels, "out");
    }
}

template <typename T, typename Dgrad>
void check_dgrad(const Case<T>& c, const std::vector<Implementation<Dgrad>>& all) {
    std::vector<float> expected(c.z.exact.size());
    reference::polarizer_dgrad(c.shape, c.dout.exact.data(), c.samples.on_host(), c.exact_maps(),
                               expected.data());
    for (const auto& dgrad : all) {
        INFO(dgrad.backend);
        Guarded<T> dz(c.activations());
        dgrad(c.shape, c.dout.stored, c.samples.on_backend(), c.maps(), dz);
        check_result(dz, expected, c.shape.channels, "dz");
    }
}

template <typename T, typename Wgrad>
void check_wgrad(const Case<T>& c, const std::vector<Implementation<Wgrad>>& all) {
    const auto maps = static_cast<std::int64_t>(c.a.exact.size());
    const auto biases = static_cast<std::int64_t>(c.b.size());
    Guarded<float> expected_a(maps), expected_b(biases);
    reference::polarizer_wgrad(c.shape, c.z.exact.data(), c.dout.exact.data(), c.samples.on_host(),
                               expected_a.data(), expected_b.data());
    const double tolerance = sum_tolerance(c.shape.n * c.shape.positions);
    for (const auto& wgrad : all) {
        INFO(wgrad.backend);
        Guarded<float> da(maps), db(biases), alone(maps);
        wgrad(c.shape, c.z.stored, c.dout.stored, c.samples.on_backend(), da, db);
        check_close(da, expected_a, 1e-5, tolerance, "da");
        check_close(db, expected_b, 1e-5, tolerance, "db");
        CHECK(da.intact());
        CHECK(db.intact());
        wgrad(c.shape, c.z.stored, c.dout.stored, c.samples.on_backend(), alone, nullptr);
        check_close(alone, da, 0, 0, "da without db");
        // The class without samples: exactly zero.
        for (std::int64_t i = biases - c.shape.channels; c.shape.classes > 1 && i < biases; ++i) {
            CHECK(db[i] == 0);
            CHECK(da[i * c.shape.channels] == 0);
        }
    }
}

// Up to three terms for each sample; neighbouring samples share some of them.
struct Mixture {
    std::int64_t terms;
    std::vector<std::int32_t> labels;
    std::vector<float> weights;
    Samples first;

    template <typename T>
    explicit Mixture(const Case<T>& c)
        : terms(std::min<std::int64_t>(3, c.shape.classes)), first(c.samples) {
        constexpr float kWeights[] = {0.5f, 0.125f, 0.375f};
        for (std::int64_t j = 0; j < terms; ++j)
            for (std::int64_t n = 0; n < c.shape.n; ++n) {
                const auto label = first.labels()[static_cast<std::size_t>(n)] + j;
                labels.push_back(static_cast<std::int32_t>(label % c.shape.classes));
                weights.push_back(kWeights[(n + j) % 3]);
            }
    }
    PolarizerMixture on_host() const {
        return {terms, labels.data(), weights.data(), first.on_host()};
    }
    auto on_backend() const {
        return staged([this](Staging& staging) {
            return PolarizerMixture{terms, staging.pass(labels), staging.pass(weights),
                                    first.in(staging)};
        });
    }
};

template <typename T, typename Mix>
void check_mixture(const Case<T>& c, const std::vector<Implementation<Mix>>& all) {
    const Mixture mixture(c);
    std::vector<T> rounded(c.z.stored.size());
    reference::polarizer_mixture<T>(c.shape, c.z.stored.data(), mixture.on_host(),
                                    PolarizerMaps<T>{c.a.stored.data(), c.b.data(), nullptr},
                                    rounded.data());
    for (const auto& mix : all) {
        INFO(mix.backend);
        Guarded<T> out(c.activations());
        mix(c.shape, c.z.stored, mixture.on_backend(), c.maps(), out);
        // Both results are rounded.
        std::vector<float> actual(rounded.size());
        std::copy_n(out.data(), out.size(), actual.begin());
        check_close(actual, std::vector<float>(rounded.begin(), rounded.end()),
                    sizeof(T) == 2 ? kBfloat16Rounding * 2.01 : 1e-5,
                    sum_tolerance(3 * c.shape.channels), "mixture");
        CHECK(out.intact());
    }
}

class AllowTf32 {
  public:
    AllowTf32() { allow_tf32(true); }
    ~AllowTf32() { allow_tf32(false); }
};

template <typename Check>
void for_shapes(const Check& check) {
    for (const PolarizerShape& shape : kShapes) {
        CAPTURE(shape.n);
        CAPTURE(shape.positions);
        CAPTURE(shape.channels);
        CAPTURE(shape.classes);
        check(shape);
    }
}

}  // namespace

TEST_CASE("polarizer products: float32") {
    for_shapes([](const PolarizerShape& shape) {
        const Case<float> c(shape);
        check_forward(c, CNPD_IMPLEMENTATIONS(polarizer_forward));
        check_dgrad(c, CNPD_IMPLEMENTATIONS(polarizer_dgrad));
        check_wgrad(c, CNPD_IMPLEMENTATIONS(polarizer_wgrad));
        check_mixture(c, CNPD_IMPLEMENTATIONS(polarizer_mixture));
    });
}

TEST_CASE("polarizer products: TF32") {
    const AllowTf32 allowed;
    for_shapes([](const PolarizerShape& shape) {
        const Case<float> c(shape, true);
        check_forward(c, CNPD_IMPLEMENTATIONS(polarizer_forward));
        check_dgrad(c, CNPD_IMPLEMENTATIONS(polarizer_dgrad));
        check_wgrad(c, CNPD_IMPLEMENTATIONS(polarizer_wgrad));
        check_mixture(c, CNPD_IMPLEMENTATIONS(polarizer_mixture));
    });
}

TEST_CASE("polarizer products: bfloat16") {
    for_shapes([](const PolarizerShape& shape) {
        const Case<bfloat16> c(shape);
        check_forward(c, CNPD_IN_BFLOAT16(polarizer_forward));
        check_dgrad(c, CNPD_IN_BFLOAT16(polarizer_dgrad));
        check_wgrad(c, CNPD_IN_BFLOAT16(polarizer_wgrad));
        check_mixture(c, CNPD_IN_BFLOAT16(polarizer_mixture));
    });
}

TEST_CASE("polarizer products: the sums of a long class are cut into parts") {
    const PolarizerShape shape{.n = 40, .positions = 64, .channels = 12, .classes = 5};
    Case<float> c(shape);
    // Classes with many tiles, with one, with a part of one, with none; parts begin within classes.
    std::vector<std::int32_t> labels(40, 1);
    std::fill_n(labels.begin() + 30, 7, 3);
    std::fill_n(labels.begin() + 37, 2, 0);
    labels.back() = 2;
    c.samples = Samples(shape, labels);
    check_wgrad(c, CNPD_IMPLEMENTATIONS(polarizer_wgrad));
    const Case<float> one({.n = 24, .positions = 64, .channels = 12, .classes = 1});
    check_wgrad(one, CNPD_IMPLEMENTATIONS(polarizer_wgrad));
}

TEST_CASE("polarizer products: a part of the sums has several classes") {
    // 25 tiles of the result leave 10 parts for up to 17 tiles of rows.
    const Case<float> c({.n = 40, .positions = 1, .channels = 520, .classes = 17});
    check_wgrad(c, CNPD_IMPLEMENTATIONS(polarizer_wgrad));
}

TEST_CASE("polarizer products: an empty batch") {
    const PolarizerShape shape{.n = 0, .positions = 16, .channels = 4, .classes = 3};
    const Case<float> c(shape);
    for (const auto& wgrad : CNPD_IMPLEMENTATIONS(polarizer_wgrad)) {
        INFO(wgrad.backend);
        Guarded<float> da(48), db(12);
        wgrad(shape, c.z.stored, c.dout.stored, c.samples.on_backend(), da, db);
        CHECK(std::all_of(da.data(), da.data() + 48, [](float value) { return value == 0; }));
        CHECK(std::all_of(db.data(), db.data() + 12, [](float value) { return value == 0; }));
    }
}

TEST_CASE("polarizer products: the reference's dgrad and wgrad are derivatives of its forward") {
    const PolarizerShape shape{.n = 5, .positions = 2, .channels = 3, .classes = 3};
    Case<float> c(shape);
    Guarded<float> dz(c.activations()), da(27), db(9), out(c.activations());
    reference::polarizer_dgrad(shape, c.dout.exact.data(), c.samples.on_host(), c.exact_maps(),
                               dz.data());
    reference::polarizer_wgrad(shape, c.z.exact.data(), c.dout.exact.data(), c.samples.on_host(),
                               da.data(), db.data());
    const auto loss = [&] {
        reference::polarizer_forward(shape, c.z.exact.data(), c.samples.on_host(), c.exact_maps(),
                                     out.data());
        return std::inner_product(out.data(), out.data() + out.size(), c.dout.exact.begin(), 0.0);
    };
    // The product is linear in each factor, so a wide difference is exact up to rounding.
    check_slopes(c.z.exact, dz, loss, 1.0f, 1e-4);
    check_slopes(c.a.exact, da, loss, 1.0f, 1e-4);
    check_slopes(c.b, db, loss, 1.0f, 1e-4);
}

TEST_CASE("polarizer products: one shared map needs no labels") {
    const PolarizerShape shape{.n = 6, .positions = 5, .channels = 8};
    const Case<float> c(shape);
    std::vector<float> expected(c.z.exact.size());
    reference::polarizer_forward(shape, c.z.exact.data(), c.samples.on_host(), c.exact_maps(),
                                 expected.data());
    for (const auto& forward : CNPD_IMPLEMENTATIONS(polarizer_forward)) {
        INFO(forward.backend);
        Guarded<float> out(c.activations());
        forward(shape, c.z.stored, PolarizerSamples{}, c.maps(), out);
        check_result(out, expected, 8, "out");
    }
}

TEST_CASE("polarizer products: without labels all samples have the first of several maps") {
    const PolarizerShape shape{.n = 6, .positions = 5, .channels = 8, .classes = 3};
    const Case<float> c(shape);
    const std::vector<std::int32_t> zeros(6, 0);
    Guarded<float> expected_a(3 * 64), expected_b(3 * 8);
    const auto all =
        with_reference(&reference::polarizer_wgrad<float>, CNPD_IMPLEMENTATIONS(polarizer_wgrad));
    reference::polarizer_wgrad<float>(shape, c.z.exact.data(), c.dout.exact.data(),
                                      {.labels = zeros.data()}, expected_a.data(),
                                      expected_b.data());
    for (const auto& wgrad : all) {
        INFO(wgrad.backend);
        Guarded<float> da(3 * 64), db(3 * 8);
        wgrad(shape, c.z.stored, c.dout.stored, PolarizerSamples{}, da, db);
        check_close(da, expected_a, 1e-5, sum_tolerance(30), "da");
        check_close(db, expected_b, 1e-5, sum_tolerance(30), "db");
    }
}

TEST_CASE("polarizer products: a repeated call gives the same bits") {
    const Case<float> c({.n = 61, .positions = 16, .channels = 70, .classes = 5});
    for (const auto& wgrad : CNPD_IMPLEMENTATIONS(polarizer_wgrad)) {
        INFO(wgrad.backend);
        std::vector<float> first(c.a.exact.size()), again(first.size());
        wgrad(c.shape, c.z.stored, c.dout.stored, c.samples.on_backend(), first, nullptr);
        for (int repeat = 0; repeat < 2; ++repeat) {
            wgrad(c.shape, c.z.stored, c.dout.stored, c.samples.on_backend(), again, nullptr);
            CHECK(again == first);
        }
    }
}

TEST_CASE("polarizer products: a label without a map is refused on the CPU") {
    const PolarizerShape shape{.n = 2, .positions = 1, .channels = 2, .classes = 2};
    const Case<float> c(shape);
    const std::vector<std::int32_t> labels = {0, 2};
    std::vector<float> out(4);
    CHECK_THROWS_AS(cpu::polarizer_forward(shape, c.z.exact.data(), {.labels = labels.data()},
                                           c.exact_maps(), out.data()),
                    Error);
}

// With AddressSanitizer the compiler does not report accesses to the emulator.
#if defined(CNPD_EMULATED) && !defined(__SANITIZE_ADDRESS__)
namespace {

// Names of the launches of each product.
template <typename T>
std::vector<std::string> launches_of_products() {
    const Case<T> c({.n = 9, .positions = 4, .channels = 8, .classes = 3});
    const Mixture mixture(c);
    Guarded<T> out(c.activations());
    Guarded<float> da(static_cast<std::int64_t>(c.a.exact.size())), db(24);
    const emulator::Trace trace;
    const auto run = [](auto* kernel, auto&&... arguments) {
        Staging staging(Memory::device);
        kernel(staging.pass(arguments)...);
    };
    const auto samples = c.samples.on_backend();
    run(&cuda::polarizer_forward<T>, c.shape, c.z.stored, samples, c.maps(), out);
    run(&cuda::polarizer_wgrad<T>, c.shape, c.z.stored, c.dout.stored, samples, da, db);
    run(&cuda::polarizer_mixture<T>, c.shape, c.z.stored, mixture.on_backend(), c.maps(), out);
    std::vector<std::string> names;
    for (const auto& [name, counts] : trace.counts())
        if (name != "group_samples") names.push_back(name);
    return names;
}

}  // namespace

// As docs/kernels-polarizer.md says.
TEST_CASE("polarizer products: each precision launches its version") {
    using Names = std::vector<std::string>;
    CHECK(launches_of_products<float>() ==
          Names{"polarizer_mixture_fp32", "polarizer_v3", "polarizer_wgrad_v4"});
    CHECK(launches_of_products<bfloat16>() ==
          Names{"polarizer_mixture_bf16", "polarizer_v6", "polarizer_wgrad_v6"});
    const AllowTf32 allowed;
    CHECK(launches_of_products<float>() ==
          Names{"polarizer_mixture_tf32", "polarizer_v4_tf32", "polarizer_wgrad_v5_tf32"});
}
#endif
