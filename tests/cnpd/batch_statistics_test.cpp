// Polarizers trained with batch statistics, compared with PyTorch and with central differences.
#include <doctest/doctest.h>

#include "cnpd/ops/polarizer.h"
#include "kernels/common/error.h"
#include "tests/support/fixtures.h"
#include "tests/support/gradient_check.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;
using cnpd::ops::polarize_with_batch_statistics;
using cnpd::ops::PolarizerParameters;

namespace {

constexpr double kSum = 1e-6, kGradient = 1e-5;  // relative L2 errors

}  // namespace

TEST_CASE("batch statistics: output, gradients and running statistics") {
    for (const std::string name : {"per_class", "shared"}) {
        CAPTURE(name);
        const Fixture f = Fixture("method").in("batch_statistics").in(name);
        const PolarizerParameters parameters{.weight = f.leaf("weight"),
                                             .gamma = f.leaf("gamma"),
                                             .beta = f.leaf("beta"),
                                             .mean = f.tensor("mean"),
                                             .variance = f.tensor("variance")};
        const Tensor z = f.leaf("z");
        const Tensor out = polarize_with_batch_statistics(z, f.integers("labels"), parameters);
        check_l2(out, f.tensor("out"), kSum, "out");
        check_l2(parameters.mean, f.tensor("mean_after"), kSum, "mean");
        check_l2(parameters.variance, f.tensor("variance_after"), kSum, "variance");
        backward(weighted_sum(out, f.tensor("dout")));
        // Differences of larger sums.
        check_l2(z.grad(), f.tensor("dz"), kGradient, "dz");
        check_l2(parameters.weight.grad(), f.tensor("dweight"), kGradient, "dweight");
        check_l2(parameters.gamma.grad(), f.tensor("dgamma"), kSum, "dgamma");
        check_l2(parameters.beta.grad(), f.tensor("dbeta"), kSum, "dbeta");
        if (name == "shared") continue;
        // The class without samples.
        for (const Tensor& leaf : {parameters.weight, parameters.gamma, parameters.beta})
            CHECK(cnpd::engine::ops::sum_of_squares(leaf.grad().rows(3, 1)) == 0);
    }
}

TEST_CASE("batch statistics: gradients against central differences") {
    const Tensor labels = Tensor::from(std::vector<std::int32_t>{1, 0, 1, 1, 0}, {5});
    const Tensor dout = random_tensor({5, 3, 2, 4}, 0.1f);
    check_gradients(
        [&](const std::vector<Tensor>& in) {
            return weighted_sum(polarize_with_batch_statistics(in[0], labels,
                                                               {.weight = in[1],
                                                                .gamma = in[2],
                                                                .beta = in[3],
                                                                .mean = Tensor::zeros({2, 4}),
                                                                .variance = Tensor::zeros({2, 4})}),
                                dout);
        },
        {random_tensor({5, 3, 2, 4}), random_tensor({2, 4, 4}), random_tensor({2, 4}),
         random_tensor({2, 4}, 0.1f)});
}

TEST_CASE("batch statistics: wrong shapes are refused") {
    const Tensor z = Tensor::zeros({3, 2, 2, 4}), labels = Tensor::zeros({3}, DType::int32),
                 vectors = Tensor::zeros({2, 4});
    const PolarizerParameters good{.weight = Tensor::zeros({2, 4, 4}),
                                   .gamma = vectors,
                                   .beta = vectors,
                                   .mean = vectors.clone(),
                                   .variance = vectors.clone()};
    const auto run = [&](const Tensor& features, const Tensor& y, const PolarizerParameters& p) {
        return polarize_with_batch_statistics(features, y, p);
    };
    CHECK_NOTHROW(run(z, labels, good));
    CHECK_THROWS_AS(run(z.view({3, 4, 4}), labels, good), ShapeError);
    CHECK_THROWS_AS(run(Tensor::zeros({3, 2, 2, 5}), labels, good), ShapeError);
    CHECK_THROWS_AS(run(z, labels.rows(0, 2), good), ShapeError);
    CHECK_THROWS_AS(run(z, {}, good), ShapeError);  // several maps
    PolarizerParameters wrong = good;
    wrong.mean = {};
    CHECK_THROWS_AS(run(z, labels, wrong), ShapeError);
    wrong = good;
    wrong.gamma = Tensor::zeros({2, 5});
    CHECK_THROWS_AS(run(z, labels, wrong), ShapeError);
}
