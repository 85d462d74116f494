// Arguments that the operations refuse, and results of small operations without another test.
#include "engine/ops.h"

#include <limits>

#include <doctest/doctest.h>

#include "kernels/common/error.h"
#include "tests/support/tape.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

// Another device on which this backend can allocate.
constexpr Device kOther{.backend = Backend::cpu, .index = 1};

Tensor some(const Shape& shape, Device device = {}) {
    return Tensor::full(shape, 0.5f, device);
}
Tensor whole(const Shape& shape, Device device = {}) {
    return Tensor::zeros(shape, DType::int32, device);
}
const Tensor kUndefined;

}  // namespace

TEST_CASE("convolution refuses arguments that do not match") {
    const Tensor x = some({2, 5, 6, 3}), filter = some({4, 3, 3, 3});
    const auto refuse = [&](const Tensor& a, const Tensor& b,
                            const ops::ConvolutionOptions& options = {}) {
        CHECK_THROWS_AS(ops::convolution(a, b, options), ShapeError);
    };
    CHECK_NOTHROW(ops::convolution(x, filter));
    refuse(kUndefined, filter);
    refuse(x, kUndefined);
    refuse(some({5, 6, 3}), filter);
    refuse(x, some({4, 3, 3}));
    refuse(x, some({4, 3, 3, 2}));
    refuse(x, some({4, 6, 3, 3}));
    CHECK_NOTHROW(ops::convolution(x, some({4, 6, 3, 3}), {.padding = 1}));
    refuse(x, filter, {.stride = 0});
    refuse(x, filter, {.stride = -1});
    refuse(x, filter, {.padding = -1});
    refuse(x, filter, {.bias = some({3})});
    refuse(x, filter, {.bias = some({4, 1})});
    refuse(x, filter, {.residual = some({2, 5, 6, 4})});
    refuse(x, some({4, 3, 3, 3}, kOther));
    refuse(x, filter, {.bias = some({4}, kOther)});
    refuse(x, filter, {.residual = some({2, 3, 4, 4}, kOther)});
    refuse(x, whole({4, 3, 3, 3}));
    refuse(whole({2, 5, 6, 3}), filter);
    refuse(x, filter, {.bias = whole({4})});
    refuse(x, some({0, 3, 3, 3}));
    refuse(x, some({4, 0, 3, 3}));
    refuse(some({2, 5, 6, 0}), some({4, 3, 3, 0}));
    CHECK(ops::convolution(some({0, 5, 6, 3}), filter).shape() == Shape{0, 3, 4, 4});
}

TEST_CASE("a cast rounds, and so does its gradient") {
    const std::vector<float> values = {1, -2.5f, 1.00390625f, 3.14159f};
    const auto rounded = [](const std::vector<float>& from) {
        std::vector<float> to;
        for (const float value : from) to.push_back(kernels::bfloat16(value));
        return to;
    };
    for (const Device& device : available_devices()) {
        CAPTURE(device.str());
        Tensor x = Tensor::from(values, {4}, device);
        x.set_requires_grad();
        const Tensor y = ops::cast(x, DType::bfloat16);
        CHECK(y.dtype() == DType::bfloat16);
        const Tensor back = ops::cast(y, DType::float32);
        CHECK(back.to_host<float>() == rounded(values));
        backward(weighted_sum(back, Tensor::from(values, {4}, device)));
        CHECK(x.grad().dtype() == DType::float32);
        CHECK(x.grad().to_host<float>() == rounded(values));
    }
    CHECK_THROWS_AS(ops::cast(some({3}), DType::int32), ShapeError);
    CHECK_THROWS_AS(ops::cast(whole({3}), DType::bfloat16), ShapeError);
}

TEST_CASE("the CPU refuses to compute in bfloat16") {
    const Tensor x = ops::cast(some({2, 5, 6, 3}), DType::bfloat16);
    CHECK_THROWS_AS(ops::relu(x), DeviceError);
    CHECK_THROWS_AS(ops::convolution(x, some({4, 3, 3, 3})), DeviceError);
}

TEST_CASE("linear refuses arguments that do not match") {
    const Tensor x = some({2, 3}), weight = some({4, 3}), bias = some({4});
    const auto refuse = [](const Tensor& a, const Tensor& b, const Tensor& c) {
        CHECK_THROWS_AS(ops::linear(a, b, c), ShapeError);
    };
    CHECK_NOTHROW(ops::linear(x, weight, bias));
    CHECK_NOTHROW(ops::linear(x, weight, {}));
    refuse(kUndefined, weight, bias);
    refuse(x, kUndefined, bias);
    refuse(some({3}), weight, bias);
    refuse(x, some({3, 4}), bias);
    refuse(x, weight, some({3}));
    refuse(x, some({4, 3}, kOther), bias);
    refuse(x, weight, some({4}, kOther));
    refuse(x, whole({4, 3}), bias);
}

TEST_CASE("batch norm and channel_affine refuse arguments that do not match") {
    const Tensor x = some({2, 2, 2, 3});
    const auto parameters = [] {
        return ops::BatchNorm{.gamma = some({3}),
                              .beta = some({3}),
                              .running_mean = some({3}),
                              .running_variance = some({3})};
    };
    CHECK_NOTHROW(ops::batch_norm(x, parameters()));
    CHECK_THROWS_AS(ops::batch_norm(kUndefined, parameters()), ShapeError);
    CHECK_THROWS_AS(ops::batch_norm(some({3}), parameters()), ShapeError);
    CHECK_THROWS_AS(ops::batch_norm(some({2, 4}), parameters()), ShapeError);
    CHECK_THROWS_AS(ops::batch_norm(whole({2, 3}), parameters()), ShapeError);
    using Member = Tensor ops::BatchNorm::*;
    for (const Member member : {&ops::BatchNorm::gamma, &ops::BatchNorm::beta,
                                &ops::BatchNorm::running_mean, &ops::BatchNorm::running_variance})
        for (const Tensor& wrong : {kUndefined, some({2}), some({1, 3}), some({3}, kOther)}) {
            ops::BatchNorm p = parameters();
            p.*member = wrong;
            CHECK_THROWS_AS(ops::batch_norm(x, p), ShapeError);
        }

    CHECK_NOTHROW(ops::channel_affine(x, some({3}), some({3})));
    CHECK_THROWS_AS(ops::channel_affine(kUndefined, some({3}), some({3})), ShapeError);
    CHECK_THROWS_AS(ops::channel_affine(x, some({2}), some({3})), ShapeError);
    CHECK_THROWS_AS(ops::channel_affine(x, some({3}), some({2})), ShapeError);
    CHECK_THROWS_AS(ops::channel_affine(x, some({3}), kUndefined), ShapeError);
    CHECK_THROWS_AS(ops::channel_affine(x, some({3}, kOther), some({3})), ShapeError);
}

TEST_CASE("a refused batch norm does not change the running statistics") {
    const Tensor mean = some({3}), variance = some({3});
    CHECK_THROWS_AS(ops::batch_norm(some({2, 3}), {.gamma = some({3}),
                                                   .beta = some({3}, kOther),
                                                   .running_mean = mean,
                                                   .running_variance = variance,
                                                   .training = true}),
                    ShapeError);
    CHECK(host(mean) == std::vector<float>(3, 0.5f));
    CHECK(host(variance) == std::vector<float>(3, 0.5f));
}

TEST_CASE("elementwise operations refuse arguments that do not match") {
    CHECK_THROWS_AS(ops::add(some({2, 3}), some({3, 2})), ShapeError);
    CHECK_THROWS_AS(ops::add(some({2}), kUndefined), ShapeError);
    CHECK_THROWS_AS(ops::add(some({2}), some({2}, kOther)), ShapeError);
    CHECK_THROWS_AS(ops::add(some({2}), whole({2})), ShapeError);
    CHECK_THROWS_AS(ops::relu(whole({2})), ShapeError);
    CHECK_THROWS_AS(ops::relu(kUndefined), Error);
    CHECK_THROWS_AS(ops::scale(whole({2}), 2), ShapeError);
    CHECK_THROWS_AS(ops::reshape(some({2, 3}), {5}), ShapeError);
    CHECK_THROWS_AS(ops::sum_of_squares(whole({2})), ShapeError);
}

TEST_CASE("pooling refuses arguments that do not match") {
    const Tensor x = some({1, 4, 5, 2});
    for (const auto pool : {ops::average_pool, ops::max_pool}) {
        CHECK_NOTHROW(pool(x, {.window = 3, .stride = 2, .padding = 1}));
        CHECK_THROWS_AS(pool(kUndefined, {}), ShapeError);
        CHECK_THROWS_AS(pool(some({4, 5, 2}), {}), ShapeError);
        CHECK_THROWS_AS(pool(whole({1, 4, 5, 2}), {}), ShapeError);
        CHECK_THROWS_AS(pool(x, {.window = 0}), ShapeError);
        CHECK_THROWS_AS(pool(x, {.stride = 0}), ShapeError);
        CHECK_THROWS_AS(pool(x, {.padding = -1}), ShapeError);
        CHECK_THROWS_AS(pool(x, {.window = 3, .padding = 2}), ShapeError);
        CHECK_THROWS_AS(pool(x, {.window = 5}), ShapeError);
    }
    CHECK_THROWS_AS(ops::global_average_pool(some({4, 5, 2})), ShapeError);
    CHECK_THROWS_AS(ops::global_average_pool(kUndefined), ShapeError);
    CHECK_THROWS_AS(ops::global_average_pool(some({1, 0, 5, 2})), ShapeError);
}

TEST_CASE("convolution_mean equals the mean of the convolution") {
    struct Case {
        Shape x, filter;
        std::int64_t padding;
    };
    for (const Case& c :
         {Case{{3, 4, 4, 16}, {16, 3, 3, 16}, 1}, Case{{2, 5, 7, 3}, {4, 3, 3, 3}, 1},
          Case{{2, 1, 1, 5}, {3, 3, 3, 5}, 1}, Case{{2, 2, 9, 4}, {3, 2, 5, 4}, 3},
          Case{{1, 6, 3, 2}, {7, 3, 2, 2}, 0}, Case{{2, 4, 4, 3}, {2, 1, 1, 3}, 0}})
        for (const bool with_bias : {false, true}) {
            INFO(c.x.str(), " filter ", c.filter.str(), " padding ", c.padding);
            const Tensor x = random_tensor(c.x), filter = random_tensor(c.filter);
            const Tensor bias = with_bias ? random_tensor({c.filter[0]}) : Tensor();
            const Tensor expected = ops::global_average_pool(
                ops::convolution(x, filter, {.padding = c.padding, .bias = bias}));
            const Tensor mean = ops::convolution_mean(x, filter, c.padding, bias);
            REQUIRE(mean.shape() == expected.shape());
            check_close(host(mean), host(expected), 1e-5, 1e-5, "mean");
        }
    const Tensor x = some({1, 4, 5, 2}), filter = some({3, 3, 3, 2});
    CHECK_NOTHROW(ops::convolution_mean(x, filter, 1));
    CHECK_THROWS_AS(ops::convolution_mean(x, filter, -1), ShapeError);
    CHECK_THROWS_AS(ops::convolution_mean(x, some({3, 3, 3, 1}), 1), ShapeError);
    CHECK_THROWS_AS(ops::convolution_mean(x, some({3, 5, 3, 2}), 0), ShapeError);
    CHECK_THROWS_AS(ops::convolution_mean(x, some({3, 3, 3, 2}, kOther), 1), Error);
    CHECK_THROWS_AS(ops::convolution_mean(x, filter, 1, some({2})), ShapeError);
    CHECK_THROWS_AS(ops::convolution_mean(some({4, 5, 2}), filter, 1), ShapeError);
    CHECK_THROWS_AS(ops::convolution_mean(x, kUndefined, 1), ShapeError);
}

TEST_CASE("adaptive pooling and dropout refuse arguments that do not match") {
    const Tensor x = some({2, 5, 6, 3});
    CHECK(ops::adaptive_average_pool(x, 7, 1).shape() == Shape{2, 7, 1, 3});
    CHECK_THROWS_AS(ops::adaptive_average_pool(x, 0, 1), ShapeError);
    CHECK_THROWS_AS(ops::adaptive_average_pool(some({2, 0, 6, 3}), 1, 1), ShapeError);
    CHECK_THROWS_AS(ops::adaptive_average_pool(some({5, 6, 3}), 1, 1), ShapeError);
    CHECK_THROWS_AS(ops::adaptive_average_pool(kUndefined, 1, 1), ShapeError);
    Tensor draw = Tensor::zeros({2}, DType::int64), scalar = Tensor::zeros({}, DType::int64),
           elsewhere = Tensor::zeros({2}, DType::int64, kOther), real = some({2}), none;
    CHECK_NOTHROW(ops::dropout(x, 0, draw));
    for (const float probability : {-0.1f, 1.0f, std::numeric_limits<float>::quiet_NaN()})
        CHECK_THROWS_AS(ops::dropout(x, probability, draw), ShapeError);
    for (Tensor* wrong : {&scalar, &elsewhere, &real, &none})
        CHECK_THROWS_AS(ops::dropout(x, 0.5f, *wrong), ShapeError);
}

TEST_CASE("dropout's gradient uses the mask of its forward pass, several steps later") {
    Tensor draw = Tensor::from(std::vector<std::int64_t>{9, 4}, {2});
    const Tensor x = Tensor::full({50}, 1).set_requires_grad();
    const Tensor y = ops::dropout(x, 0.5f, draw);
    const Tensor other = ops::dropout(x.detach(), 0.5f, draw);
    CHECK(draw.to_host<std::int64_t>() == std::vector<std::int64_t>{9, 6});
    CHECK(host(y) != host(other));
    backward(sum(y));
    CHECK(host(x.grad()) == host(y));
}

TEST_CASE("the classifier's head refuses arguments that do not match") {
    const Tensor logits = some({4, 3}), labels = whole({4});
    CHECK_NOTHROW(ops::cross_entropy(logits, labels));
    CHECK_THROWS_AS(ops::cross_entropy(kUndefined, labels), ShapeError);
    CHECK_THROWS_AS(ops::cross_entropy(some({12}), labels), ShapeError);
    CHECK_THROWS_AS(ops::cross_entropy(logits, whole({3})), ShapeError);
    CHECK_THROWS_AS(ops::cross_entropy(logits, kUndefined), ShapeError);
    CHECK_THROWS_AS(ops::cross_entropy(logits, some({4})), ShapeError);
    CHECK_THROWS_AS(ops::cross_entropy(logits, whole({4}, kOther)), ShapeError);
    CHECK_THROWS_AS(ops::softmax(some({3})), ShapeError);
    CHECK_THROWS_AS(ops::argmax(some({3})), ShapeError);
    CHECK_THROWS_AS(ops::argmax(kUndefined), ShapeError);
    CHECK_THROWS_AS(ops::count_equal(labels, whole({3})), ShapeError);
    CHECK_THROWS_AS(ops::count_equal(labels, some({4})), ShapeError);
    CHECK_THROWS_AS(ops::count_equal(labels, whole({4}, kOther)), ShapeError);
}

TEST_CASE("concatenation and embedding refuse arguments that do not match") {
    CHECK_THROWS_AS(ops::concatenate(some({2, 3}), some({3, 3})), ShapeError);
    CHECK_THROWS_AS(ops::concatenate(some({2, 3}), some({2, 1, 3})), ShapeError);
    CHECK_THROWS_AS(ops::concatenate(some({}), some({})), ShapeError);
    CHECK_THROWS_AS(ops::concatenate(some({2, 3}), kUndefined), ShapeError);
    CHECK_THROWS_AS(ops::concatenate(some({2, 3}), some({2, 3}, kOther)), ShapeError);
    CHECK_THROWS_AS(ops::concatenate(some({2, 3}), whole({2, 3})), ShapeError);
    CHECK_THROWS_AS(ops::embedding(kUndefined, whole({2})), ShapeError);
    CHECK_THROWS_AS(ops::embedding(some({0, 3}), whole({2})), ShapeError);
    CHECK_THROWS_AS(ops::embedding(some({4, 3}), whole({2, 1})), ShapeError);
    CHECK_THROWS_AS(ops::embedding(some({4, 3}), some({2})), ShapeError);
    CHECK_THROWS_AS(ops::embedding(some({4, 3}), whole({2}, kOther)), ShapeError);
    CHECK(ops::concatenate(some({2, 0}), some({2, 3})).shape() == Shape{2, 3});
    CHECK(ops::concatenate(some({2, 0}), some({2, 0})).shape() == Shape{2, 0});
}

TEST_CASE("argmax, count_equal and sum_of_squares") {
    const Tensor logits = Tensor::from(std::vector<float>{1, 5, 5, -3, -1, -2}, {2, 3});
    const Tensor predictions = ops::argmax(logits);
    CHECK(predictions.to_host<std::int32_t>() == std::vector<std::int32_t>{1, 1});
    CHECK(ops::count_equal(predictions, Tensor::from(std::vector<std::int32_t>{1, 2}, {2})) == 1);
    CHECK(ops::sum_of_squares(logits) == 65);
    CHECK(!ops::softmax(random_leaf({2, 3})).requires_grad());
}

TEST_CASE("concatenation gathers and scatters channels") {
    const Tensor a = Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 2}).set_requires_grad();
    const Tensor b = Tensor::from(std::vector<float>{5, 6}, {2, 1}).set_requires_grad();
    const Tensor y = ops::concatenate(a, b);
    CHECK(host(y) == std::vector<float>{1, 2, 5, 3, 4, 6});
    backward(weighted_sum(y, Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3})));
    CHECK(host(a.grad()) == std::vector<float>{1, 2, 4, 5});
    CHECK(host(b.grad()) == std::vector<float>{3, 6});

    // One side constant.
    const Tensor only = random_leaf({3, 4});
    backward(sum(ops::concatenate(random_tensor({3, 2}), only)));
    CHECK(host(only.grad()) == std::vector<float>(12, 1));
}
