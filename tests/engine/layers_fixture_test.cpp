// Every layer compared with PyTorch in double, tests/fixtures/layers.safetensors.
//
// Tolerances are relative L2 errors. A float sum of n products has an error of about sqrt(n) times
// the rounding of one, 6e-8: 1e-6 for sums of up to 280. The convolutions' gradients sum 430
// products; their channels are too few for Winograd, whose rounding tests/kernels measures.
#include <string>

#include <doctest/doctest.h>

#include "tests/support/fixtures.h"
#include "tests/support/tape.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

constexpr double kSum = 1e-6, kConvolution = 2e-6;

const Fixture& layers() {
    static const Fixture fixture("layers");
    return fixture;
}

// Runs the layer's backward pass with the fixture's dy.
void backward_from(const Tensor& y, const Fixture& fixture) {
    backward(weighted_sum(y, fixture.tensor("dy")));
}

}  // namespace

TEST_CASE("convolutions") {
    for (const std::string name : {"s1", "s1_odd", "s2", "s2_even", "pointwise_s2", "pointwise",
                                   "stem", "bias", "unpadded", "one"}) {
        CAPTURE(name);
        const Fixture f = layers().in("convolution").in(name);
        const std::vector<std::int32_t> stride_pad = f.values<std::int32_t>("stride_pad");
        const bool has_bias = f.has("bias");
        const Tensor x = f.leaf("x"), weight = f.leaf("weight");
        const Tensor bias = has_bias ? f.leaf("bias") : Tensor();
        const ops::ConvolutionOptions options{
            .stride = stride_pad[0], .padding = stride_pad[1], .bias = bias};
        const Tensor y = ops::convolution(x, weight, options);
        check_l2(y, f.tensor("y"), kConvolution, "y");
        backward_from(y, f);
        check_l2(x.grad(), f.tensor("dx"), kConvolution, "dx");
        check_l2(weight.grad(), f.tensor("dweight"), kConvolution, "dweight");
        if (has_bias) check_l2(bias.grad(), f.tensor("dbias"), kSum, "dbias");
    }
}

TEST_CASE("a convolution's residual and ReLU equal separate operations") {
    for (const std::string name : {"s1", "s2", "bias", "pointwise"}) {
        CAPTURE(name);
        const Fixture f = layers().in("convolution").in(name);
        const std::vector<std::int32_t> stride_pad = f.values<std::int32_t>("stride_pad");
        const Tensor residual_values = random_tensor(f.tensor("y").shape());
        const Tensor bias_values = random_tensor({f.tensor("y").shape()[3]});
        std::vector<std::vector<Tensor>> results;
        for (const bool fused : {false, true}) {
            const Tensor x = f.leaf("x"), weight = f.leaf("weight"),
                         bias = bias_values.clone().set_requires_grad(),
                         residual = residual_values.clone().set_requires_grad();
            ops::ConvolutionOptions options{
                .stride = stride_pad[0], .padding = stride_pad[1], .bias = bias};
            if (fused) {
                options.residual = residual;
                options.relu = true;
            }
            Tensor y = ops::convolution(x, weight, options);
            if (!fused) y = ops::relu(ops::add(y, residual));
            backward_from(y, f);
            results.push_back({y, x.grad(), weight.grad(), bias.grad(), residual.grad()});
        }
        const char* const what[] = {"y", "dx", "dweight", "dbias", "dresidual"};
        for (std::size_t i = 0; i < 5; ++i)
            check_l2(results[1][i], results[0][i], kConvolution, what[i]);
    }
}

TEST_CASE("linear") {
    const Fixture f = layers().in("linear");
    const Tensor x = f.leaf("x"), weight = f.leaf("weight"), bias = f.leaf("bias");
    const Tensor y = ops::linear(x, weight, bias);
    check_l2(y, f.tensor("y"), kSum, "y");
    backward_from(y, f);
    check_l2(x.grad(), f.tensor("dx"), kSum, "dx");
    check_l2(weight.grad(), f.tensor("dweight"), kSum, "dweight");
    check_l2(bias.grad(), f.tensor("dbias"), kSum, "dbias");
}

TEST_CASE("batch norm") {
    for (const std::string name : {"train", "eval", "train_relu", "eval_relu", "far_from_zero"}) {
        CAPTURE(name);
        const Fixture f = layers().in("batch_norm").in(name);
        const bool training = !name.starts_with("eval");
        // x scale + shift cancels 300 deviations / 1.5: 200 roundings of 6e-8 remain.
        const double tolerance = name == "far_from_zero" ? 2e-5 : kSum;
        const Tensor x = f.leaf("x"), gamma = f.leaf("weight"), beta = f.leaf("bias");
        const Tensor mean = f.tensor("running_mean"), variance = f.tensor("running_var");
        const Tensor y = ops::batch_norm(x, {.gamma = gamma,
                                             .beta = beta,
                                             .running_mean = mean,
                                             .running_variance = variance,
                                             .training = training,
                                             .relu = name.ends_with("_relu")});
        check_l2(y, f.tensor("y"), tolerance, "y");
        const std::string after = training ? "_after" : "";
        check_l2(mean, f.tensor("running_mean" + after), kSum, "running mean");
        check_l2(variance, f.tensor("running_var" + after), kSum, "running variance");
        backward_from(y, f);
        check_l2(x.grad(), f.tensor("dx"), tolerance, "dx");
        check_l2(gamma.grad(), f.tensor("dweight"), tolerance, "dgamma");
        check_l2(beta.grad(), f.tensor("dbias"), tolerance, "dbeta");
    }
}

TEST_CASE("evaluation-mode batch norm with constants is one affine map") {
    for (const bool relu : {false, true}) {
        const Fixture f = layers().in("batch_norm").in(relu ? "eval_relu" : "eval");
        const std::vector<float> gamma = f.values("weight"), beta = f.values("bias"),
                                 mean = f.values("running_mean"),
                                 variance = f.values("running_var");
        std::vector<float> scale(gamma.size()), shift(gamma.size());
        for (std::size_t c = 0; c < gamma.size(); ++c) {
            scale[c] = gamma[c] / std::sqrt(variance[c] + 1e-5f);
            shift[c] = beta[c] - mean[c] * scale[c];
        }
        const Shape channels{static_cast<std::int64_t>(gamma.size())};
        const Tensor x = f.leaf("x");
        const Tensor y = ops::channel_affine(x, Tensor::from(scale, channels),
                                             Tensor::from(shift, channels), relu);
        check_l2(y, f.tensor("y"), kSum, "y");
        backward_from(y, f);
        check_l2(x.grad(), f.tensor("dx"), kSum, "dx");
    }
}

TEST_CASE("pooling") {
    for (const std::string kind : {"max", "max_ties", "average"})
        for (const std::string size : {"2x2", "3x3_s2", "3x3_s1"}) {
            CAPTURE(kind);
            CAPTURE(size);
            const Fixture f = layers().in("pooling").in(kind).in(size);
            const std::vector<std::int32_t> window = f.values<std::int32_t>("window_stride_pad");
            const ops::PoolingOptions options{
                .window = window[0], .stride = window[1], .padding = window[2]};
            const Tensor x = f.leaf("x");
            const bool average = kind == "average";
            const Tensor y = average ? ops::average_pool(x, options) : ops::max_pool(x, options);
            // The maximum is one of the elements, exactly.
            check_l2(y, f.tensor("y"), average ? kSum : 0, "y");
            backward_from(y, f);
            check_l2(x.grad(), f.tensor("dx"), kSum, "dx");
        }
    for (const std::string size : {"larger", "smaller", "one", "equal", "mixed"}) {
        CAPTURE(size);
        const Fixture f = layers().in("pooling").in("adaptive").in(size);
        const Tensor x = f.leaf("x"), expected = f.tensor("y");
        const Tensor y = ops::adaptive_average_pool(x, expected.shape()[1], expected.shape()[2]);
        check_l2(y, expected, kSum, "y");
        backward_from(y, f);
        check_l2(x.grad(), f.tensor("dx"), kSum, "dx");
    }
    const Fixture f = layers().in("pooling").in("global_average");
    const Tensor x = f.leaf("x");
    const Tensor y = ops::global_average_pool(x);
    check_l2(y, f.tensor("y"), kSum, "y");
    backward_from(y, f);
    check_l2(x.grad(), f.tensor("dx"), kSum, "dx");
}

TEST_CASE("softmax and cross-entropy") {
    const Fixture f = layers().in("softmax_cross_entropy");
    const Tensor labels = f.integers("labels");
    // Logits near 100 have a rounding error of one ulp of 100: 7.6e-6 absolute.
    check_l2(ops::softmax(f.tensor("logits")), f.tensor("probabilities"), 1e-5, "probabilities");
    for (const bool smoothed : {false, true}) {
        CAPTURE(smoothed);
        const Fixture part = f.in(smoothed ? "smoothed" : "plain");
        const ops::CrossEntropyOptions options{.label_smoothing = smoothed ? 0.1f : 0};
        const Tensor logits = f.leaf("logits");
        const Tensor mean = ops::cross_entropy(logits, labels, options);
        check_l2(mean, part.tensor("mean"), kSum, "mean");
        backward(mean);
        check_l2(logits.grad(), part.tensor("dlogits_of_mean"), 1e-5, "dlogits");

        const Tensor again = f.leaf("logits");
        const Tensor sum = ops::cross_entropy(
            again, labels, {.label_smoothing = options.label_smoothing, .sum = true});
        CHECK(sum.item() == doctest::Approx(7 * mean.item()).epsilon(1e-6));
        backward(ops::scale(sum, 1.0f / 7));
        check_l2(again.grad(), part.tensor("dlogits_of_mean"), 1e-5, "dlogits of the sum");

        // Row by row: all other rows masked, which must not count in the mean.
        const std::vector<std::int32_t> all = labels.to_host<std::int32_t>();
        const std::vector<float> losses = part.values("losses");
        for (std::size_t row = 0; row < all.size(); ++row) {
            CAPTURE(row);
            std::vector<std::int32_t> one(all.size(), -1);
            one[row] = all[row];
            const Tensor only = f.leaf("logits");
            const Tensor loss =
                ops::cross_entropy(only, Tensor::from(one, labels.shape()), options);
            // A few roundings of the row's largest logit.
            float largest = 1;
            for (std::size_t i = row * 11; i < row * 11 + 11; ++i)
                largest = std::max(largest, std::fabs(host(only)[i]));
            CHECK(std::fabs(loss.item() - losses[row]) <= 4 * 0x1p-24 * largest);
            backward(loss);
            const std::vector<float> gradient = host(only.grad());
            for (std::size_t i = 0; i < gradient.size(); ++i)
                if (i / 11 != row) CHECK(gradient[i] == 0);
        }
    }
    const Tensor masked = Tensor::from(std::vector<std::int32_t>(7, -1), {7});
    CHECK(ops::cross_entropy(f.tensor("logits"), masked).item() == 0);
}

TEST_CASE("embedding") {
    const Fixture f = layers().in("embedding");
    const Tensor table = f.leaf("table");
    const Tensor y = ops::embedding(table, f.integers("indices"));
    check_l2(y, f.tensor("y"), 0, "y");
    backward_from(y, f);
    check_l2(table.grad(), f.tensor("dtable"), kSum, "dtable");
    const std::vector<float> gradient = host(table.grad());
    for (std::size_t i = 7 * 5; i < gradient.size(); ++i) CHECK(gradient[i] == 0);
}
