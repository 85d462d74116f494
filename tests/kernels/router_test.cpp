#include "kernels/router/router.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// One expert, primes, more experts than a warp has lanes, more classes than a thread has rows.
const AttentionShape kAttention[] = {{1, 1, 1}, {10, 8, 16}, {7, 3, 5}, {5, 37, 2}, {200, 16, 16}};
// A single value, whole and partial accesses of 16 bytes, several slices.
const MixtureShape kMixtures[] = {{1, 1, 1}, {10, 8, 49}, {3, 2, 64}, {17, 5, 1028}, {9, 4, 18433}};

// A sum of `terms` products of normal numbers, in float.
double sum_tolerance(std::int64_t terms) {
    return 4e-7 * static_cast<double>(terms + 10);
}

std::vector<float> random_attention(const MixtureShape& s) {
    const AttentionShape shape{s.classes, s.experts, 3};
    const auto queries = random_values(s.classes * 3), keys = random_values(s.experts * 3);
    std::vector<float> attention(s.classes * s.experts);
    reference::router_attention(shape, queries.data(), keys.data(), attention.data());
    return attention;
}

double dot(const std::vector<float>& x, const Guarded<float>& y) {
    double sum = 0;
    for (std::int64_t i = 0; i < y.size(); ++i) sum += double{x[i]} * y[i];
    return sum;
}

}  // namespace

TEST_CASE("router: attention and its backward equal the reference") {
    for (const AttentionShape& s : kAttention)
        for (const float scale : {1.0f, 20.0f}) {  // the second: nearly all on one expert
            CAPTURE(s.classes);
            CAPTURE(s.experts);
            const auto queries = random_values(s.classes * s.width, scale),
                       keys = random_values(s.experts * s.width),
                       dattention = random_values(s.classes * s.experts);
            Guarded<float> expected(s.classes * s.experts);
            reference::router_attention(s, queries.data(), keys.data(), expected.data());
            // Scores are sums of about `scale` in size; attention has their absolute error.
            const double of_scores = scale * sum_tolerance(s.width);
            for (const auto& run : CNPD_IMPLEMENTATIONS(router_attention)) {
                INFO(run.backend);
                Guarded<float> attention(expected.size());
                run(s, queries, keys, attention);
                check_close(attention, expected, 1e-6, of_scores, "attention");
                CHECK(attention.intact());
            }

            const std::vector<float> attention(expected.data(), expected.data() + expected.size());
            Guarded<float> dqueries_expected(s.classes * s.width),
                dkeys_expected(s.experts * s.width);
            reference::router_attention_backward(s, queries.data(), keys.data(), attention.data(),
                                                 dattention.data(), dqueries_expected.data(),
                                                 dkeys_expected.data());
            for (const auto& run : CNPD_IMPLEMENTATIONS(router_attention_backward)) {
                INFO(run.backend);
                Guarded<float> dqueries(dqueries_expected.size()), dkeys(dkeys_expected.size());
                run(s, queries, keys, attention, dattention, dqueries, dkeys);
                check_close(dqueries, dqueries_expected, 1e-5, sum_tolerance(s.experts),
                            "dqueries");
                check_close(dkeys, dkeys_expected, 1e-5, scale * sum_tolerance(s.classes), "dkeys");
                CHECK((dqueries.intact() && dkeys.intact()));
            }
        }
}

TEST_CASE("router: equal keys share attention, a matching key gets all of it") {
    const AttentionShape shape{.classes = 1, .experts = 4, .width = 4};
    const std::vector<float> query = {3, 0, 0, 0}, same(16, 0.5f);
    std::vector<float> one_matches(16, 0.0f);
    one_matches[8] = 40;  // the third key
    for (const auto& run : CNPD_WITH_REFERENCE(router_attention)) {
        INFO(run.backend);
        std::vector<float> attention(4);
        run(shape, query, same, attention);
        check_close(attention, std::vector<float>(4, 0.25f), 1e-6, 0, "shared");
        run(shape, query, one_matches, attention);
        check_close(attention, std::vector<float>{0, 0, 1, 0}, 1e-6, 1e-20, "taken");
    }
}

TEST_CASE("router: mixing and its backward equal the reference, unaligned too") {
    for (const MixtureShape& s : kMixtures)
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(s.classes);
            CAPTURE(s.values);
            CAPTURE(offset);
            const auto attention = random_attention(s);
            const Guarded<float> experts(random_values(s.experts * s.values), offset),
                dmixed(random_values(s.classes * s.values), offset);

            Guarded<float> mixed_expected(s.classes * s.values);
            reference::mix_experts(s, attention.data(), experts.data(), mixed_expected.data());
            for (const auto& run : CNPD_IMPLEMENTATIONS(mix_experts)) {
                INFO(run.backend);
                Guarded<float> mixed(mixed_expected.size(), offset);
                run(s, attention, experts, mixed);
                check_close(mixed, mixed_expected, 1e-6, sum_tolerance(s.experts), "mixed");
                CHECK(mixed.intact());
            }

            Guarded<float> dexperts_expected(s.experts * s.values);
            reference::mix_experts_backward(s, attention.data(), dmixed.data(),
                                            dexperts_expected.data());
            for (const auto& run : CNPD_IMPLEMENTATIONS(mix_experts_backward)) {
                INFO(run.backend);
                Guarded<float> dexperts(dexperts_expected.size(), offset);
                run(s, attention, dmixed, dexperts);
                check_close(dexperts, dexperts_expected, 1e-6, sum_tolerance(s.classes),
                            "dexperts");
                CHECK(dexperts.intact());
            }

            Guarded<float> dattention_expected(s.classes * s.experts);
            reference::mix_experts_backward_attention(s, experts.data(), dmixed.data(),
                                                      dattention_expected.data());
            for (const auto& run : CNPD_IMPLEMENTATIONS(mix_experts_backward_attention)) {
                INFO(run.backend);
                Guarded<float> dattention(dattention_expected.size());
                run(s, experts, dmixed, dattention);
                // Partial sums grow with the root of their length.
                check_close(dattention, dattention_expected, 1e-5,
                            sum_tolerance(static_cast<std::int64_t>(
                                std::sqrt(static_cast<double>(s.values)))) *
                                10,
                            "dattention");
                CHECK(dattention.intact());
            }
        }
}

TEST_CASE("router: the reference's backward functions are the derivatives of its forward") {
    const AttentionShape attend{.classes = 3, .experts = 4, .width = 5};
    const MixtureShape mix{.classes = 3, .experts = 4, .values = 6};
    auto queries = random_values(15), keys = random_values(20), experts = random_values(24);
    const auto dmixed = random_values(18);
    Guarded<float> attention(12), mixed(18), dattention(12), dexperts(24), dqueries(15), dkeys(20);
    const auto loss = [&] {
        reference::router_attention(attend, queries.data(), keys.data(), attention.data());
        reference::mix_experts(mix, attention.data(), experts.data(), mixed.data());
        return dot(dmixed, mixed);
    };
    loss();
    reference::mix_experts_backward(mix, attention.data(), dmixed.data(), dexperts.data());
    reference::mix_experts_backward_attention(mix, experts.data(), dmixed.data(),
                                              dattention.data());
    reference::router_attention_backward(attend, queries.data(), keys.data(), attention.data(),
                                         dattention.data(), dqueries.data(), dkeys.data());
    check_slopes(queries, dqueries, loss, 1.0f / 64, 1e-3);
    check_slopes(keys, dkeys, loss, 1.0f / 64, 1e-3);
    check_slopes(experts, dexperts, loss, 1.0f / 64, 1e-3);
}

TEST_CASE("router: no launch if there is nothing to mix") {
    for (const auto& run : CNPD_WITH_REFERENCE(mix_experts)) {
        Guarded<float> mixed(0);
        run(MixtureShape{0, 3, 4}, nullptr, random_values(12), mixed);
        CHECK(mixed.intact());
    }
}
