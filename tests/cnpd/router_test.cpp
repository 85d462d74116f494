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
using cnpd::engine::ops::add;
using cnpd::engine::ops::reshape;

namespace {

constexpr double kSum = 1e-6;  // relative L2 error of sums of a few dozen products

}  // namespace

TEST_CASE("router: a-CNPD's polarizer and the gradients of all its parameters") {
    const Fixture f = Fixture("method").in("router");
    const Tensor queries = f.leaf("queries"), keys = f.leaf("keys"), experts = f.leaf("experts"),
                 gamma = f.leaf("gamma"), beta = f.leaf("beta"), z = f.leaf("z");
    const cnpd::ops::RoutedMaps routed =
        cnpd::ops::route_maps({.queries = queries,
                               .keys = keys,
                               .experts = experts,
                               .gamma = reshape(gamma, {gamma.elements()}),
                               .beta = reshape(beta, {beta.elements()}),
                               .mean = f.tensor("mean").view({gamma.elements()}),
                               .variance = f.tensor("variance").view({gamma.elements()})});
    check_l2(routed.attention, f.tensor("attention"), kSum, "attention");
    check_l2(cnpd::ops::mix_experts(routed.attention, experts.detach()), f.tensor("mixed"), kSum,
             "mixed");
    const Tensor out = cnpd::ops::polarize(z, f.integers("labels"), routed.maps);
    check_l2(out, f.tensor("out"), kSum, "out");
    backward(weighted_sum(out, f.tensor("dout")));
    check_l2(queries.grad(), f.tensor("dqueries"), 4 * kSum, "dqueries");
    check_l2(keys.grad(), f.tensor("dkeys"), 4 * kSum, "dkeys");
    check_l2(experts.grad(), f.tensor("dexperts"), kSum, "dexperts");
    check_l2(gamma.grad(), f.tensor("dgamma"), kSum, "dgamma");
    check_l2(beta.grad(), f.tensor("dbeta"), kSum, "dbeta");
    check_l2(z.grad(), f.tensor("dz"), kSum, "dz");
}

namespace {

// Random parameters of a router over 4 classes and 3 experts.
cnpd::ops::RouterParameters parameters_of(const std::vector<Tensor>& in) {
    return {.queries = in[0],
            .keys = in[1],
            .experts = in[2],
            .gamma = in[3],
            .beta = in[4],
            .mean = random_tensor({5}, 0.5f),
            .variance = Tensor::full({5}, 0.7f)};
}
std::vector<Tensor> random_parameters() {
    return {random_tensor({4, 7}), random_tensor({3, 7}), random_tensor({3, 5, 5}, 0.2f),
            random_tensor({5}), random_tensor({5})};
}

}  // namespace

TEST_CASE("router: gradients against central differences") {
    const Tensor da = random_tensor({4, 5, 5}, 0.2f), db = random_tensor({4, 5}, 0.2f);
    const Tensor mean = random_tensor({5}, 0.5f);
    check_gradients(
        [&](const std::vector<Tensor>& in) {
            cnpd::ops::RouterParameters parameters = parameters_of(in);
            parameters.mean = mean;
            const auto maps = cnpd::ops::route_maps(parameters).maps;
            return add(weighted_sum(maps.a, da), weighted_sum(maps.b, db));
        },
        random_parameters());
    const Tensor dmixed = random_tensor({4, 2, 3}, 0.2f);
    check_gradients(
        [&](const std::vector<Tensor>& in) {
            return weighted_sum(cnpd::ops::mix_experts(in[0], in[1]), dmixed);
        },
        {random_tensor({4, 3}), random_tensor({3, 2, 3}, 0.2f)});
}

TEST_CASE("router: no gradients are computed for constants") {
    CHECK(!cnpd::ops::route_maps(parameters_of(random_parameters())).maps.a.requires_grad());
    std::vector<Tensor> some = random_parameters();
    some[2].set_requires_grad();
    const auto maps = cnpd::ops::route_maps(parameters_of(some)).maps;
    CHECK(maps.a.requires_grad());
    CHECK(!maps.b.requires_grad());
    backward(sum(maps.a));
    CHECK(some[2].grad().defined());
    CHECK(!some[0].grad().defined());
}

TEST_CASE("router: wrong shapes are refused") {
    using cnpd::ops::mix_experts;
    constexpr Device other{.backend = Backend::cpu, .index = 1};
    const auto refused = [](std::size_t which, const Tensor& wrong) {
        std::vector<Tensor> all = random_parameters();
        all[which] = wrong;
        CHECK_THROWS_AS(cnpd::ops::route_maps(parameters_of(all)), ShapeError);
    };
    CHECK_NOTHROW(cnpd::ops::route_maps(parameters_of(random_parameters())));
    refused(0, Tensor::zeros({28}));
    refused(0, {});
    refused(1, Tensor::zeros({3, 5}));
    refused(1, Tensor::zeros({0, 7}));
    refused(1, Tensor::zeros({3, 7}, DType::float32, other));
    refused(2, Tensor::zeros({3, 5, 4}));
    refused(2, Tensor::zeros({4, 5, 5}));
    refused(3, Tensor::zeros({4}));
    refused(4, {});
    const Tensor attention = Tensor::zeros({5, 3});
    CHECK_NOTHROW(mix_experts(attention, Tensor::zeros({3, 2, 2})));
    CHECK_THROWS_AS(mix_experts(attention, Tensor::zeros({4, 2, 2})), ShapeError);
    CHECK_THROWS_AS(mix_experts(attention, Tensor::zeros({3})), ShapeError);
    CHECK_THROWS_AS(mix_experts(attention, {}), ShapeError);
    CHECK_THROWS_AS(mix_experts(attention, Tensor::zeros({3, 2}, DType::float32, other)),
                    ShapeError);
}
