// The attention router, compared with PyTorch and with central differences.
#include <doctest/doctest.h>

#include "cnpd/ops/polarizer.h"
#include "cnpd/ops/router.h"
#include "kernels/common/error.h"
#include "tests/support/fixtures.h"
#include "tests/support/gradient_check.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

constexpr double kSum = 1e-6;  // relative L2 error of sums of a few dozen products

}  // namespace

TEST_CASE("router: a-CNPD's polarizer and the gradients of all its parameters") {
    const Fixture f = Fixture("method").in("router");
    const Tensor queries = f.leaf("queries"), keys = f.leaf("keys"), experts = f.leaf("experts"),
                 gamma = f.leaf("gamma"), beta = f.leaf("beta"), z = f.leaf("z");
    const Tensor attention = cnpd::ops::router_attention(queries, keys);
    check_l2(attention, f.tensor("attention"), kSum, "attention");
    const Tensor mixed = cnpd::ops::mix_experts(attention, experts);
    check_l2(mixed, f.tensor("mixed"), kSum, "mixed");

    // One batch norm for all classes.
    const Tensor first = Tensor::zeros({5}, DType::int32);
    const auto for_each_class = [&](const Tensor& row) {
        return cnpd::engine::ops::embedding(row, first);
    };
    const cnpd::ops::PolarizerParameters parameters{
        .weight = mixed,
        .gamma = for_each_class(gamma),
        .beta = for_each_class(beta),
        .mean = for_each_class(f.tensor("mean")),
        .variance = for_each_class(f.tensor("variance"))};
    const Tensor out = cnpd::ops::polarize(z, f.integers("labels"), parameters,
                                           cnpd::ops::fold_polarizer(parameters));
    check_l2(out, f.tensor("out"), kSum, "out");
    backward(weighted_sum(out, f.tensor("dout")));
    check_l2(queries.grad(), f.tensor("dqueries"), 4 * kSum, "dqueries");
    check_l2(keys.grad(), f.tensor("dkeys"), 4 * kSum, "dkeys");
    check_l2(experts.grad(), f.tensor("dexperts"), kSum, "dexperts");
    check_l2(gamma.grad(), f.tensor("dgamma"), kSum, "dgamma");
    check_l2(beta.grad(), f.tensor("dbeta"), kSum, "dbeta");
    check_l2(z.grad(), f.tensor("dz"), kSum, "dz");
}

TEST_CASE("router: gradients against central differences") {
    const Tensor dmixed = random_tensor({4, 2, 3, 5}, 0.2f);
    check_gradients(
        [&](const std::vector<Tensor>& in) {
            return weighted_sum(
                cnpd::ops::mix_experts(cnpd::ops::router_attention(in[0], in[1]), in[2]), dmixed);
        },
        {random_tensor({4, 7}), random_tensor({3, 7}), random_tensor({3, 2, 3, 5}, 0.2f)});
}

TEST_CASE("router: no gradients are computed for constants") {
    const Tensor attention =
        cnpd::ops::router_attention(random_tensor({4, 3}), random_leaf({2, 3}));
    CHECK(attention.requires_grad());
    const Tensor constant =
        cnpd::ops::router_attention(random_tensor({4, 3}), random_tensor({2, 3}));
    CHECK(!constant.requires_grad());
    const Tensor experts = random_leaf({2, 5});
    backward(sum(cnpd::ops::mix_experts(constant, experts)));
    CHECK(!constant.grad().defined());
    CHECK(experts.grad().defined());
}

TEST_CASE("router: wrong shapes are refused") {
    using cnpd::ops::mix_experts;
    using cnpd::ops::router_attention;
    constexpr Device other{.backend = Backend::cpu, .index = 1};
    const Tensor queries = Tensor::zeros({5, 4}), keys = Tensor::zeros({3, 4});
    CHECK_NOTHROW(router_attention(queries, keys));
    CHECK_THROWS_AS(router_attention(queries, Tensor::zeros({3, 5})), ShapeError);
    CHECK_THROWS_AS(router_attention(queries, Tensor::zeros({0, 4})), ShapeError);
    CHECK_THROWS_AS(router_attention(queries.view({20}), keys), ShapeError);
    CHECK_THROWS_AS(router_attention(queries, {}), ShapeError);
    CHECK_THROWS_AS(router_attention(queries, Tensor::zeros({3, 4}, DType::float32, other)),
                    ShapeError);
    const Tensor attention = Tensor::zeros({5, 3});
    CHECK_NOTHROW(mix_experts(attention, Tensor::zeros({3, 2, 2})));
    CHECK_THROWS_AS(mix_experts(attention, Tensor::zeros({4, 2, 2})), ShapeError);
    CHECK_THROWS_AS(mix_experts(attention, Tensor::zeros({3})), ShapeError);
    CHECK_THROWS_AS(mix_experts(attention, {}), ShapeError);
    CHECK_THROWS_AS(mix_experts(attention, Tensor::zeros({3, 2}, DType::float32, other)),
                    ShapeError);
}
