// Gradients of small composed graphs, compared with central differences.
#include <algorithm>

#include <doctest/doctest.h>

#include "tests/support/fixtures.h"
#include "tests/support/gradient_check.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

Tensor labels_of(std::vector<std::int32_t> labels) {
    const auto count = static_cast<std::int64_t>(labels.size());
    return Tensor::from(labels, {count});
}

Tensor head(const Tensor& features, const Tensor& weight, const Tensor& bias,
            const Tensor& labels) {
    return ops::cross_entropy(ops::linear(features, weight, bias), labels,
                              {.label_smoothing = 0.1f});
}

// Far from zero: near 1 or -1, within a tenth.
Tensor two_sided(const Shape& shape) {
    std::vector<float> values = random_values(shape.elements());
    for (float& value : values) value = std::copysign(1 + 0.1f * value, value);
    return Tensor::from(values, shape);
}

// In [-1.5, 1.5], any two at least 3 / elements apart.
Tensor distinct(const Shape& shape) {
    const std::vector<float> keys = random_values(shape.elements());
    std::vector<float> sorted = keys, values;
    std::sort(sorted.begin(), sorted.end());
    for (const float key : keys) {
        const auto rank = std::lower_bound(sorted.begin(), sorted.end(), key) - sorted.begin();
        values.push_back(3 * static_cast<float>(rank) / static_cast<float>(keys.size()) - 1.5f);
    }
    return Tensor::from(values, shape);
}

}  // namespace

TEST_CASE("a strided convolution with bias, residual and ReLU into a classifier") {
    const Tensor labels = labels_of({1, -1, 4});
    check_gradients(
        [&](const std::vector<Tensor>& in) {
            const Tensor y = ops::convolution(
                in[0], in[1],
                {.stride = 2, .padding = 1, .bias = in[2], .residual = in[3], .relu = true});
            return head(ops::global_average_pool(y), in[4], in[5], labels);
        },
        {random_tensor({3, 7, 5, 2}), random_tensor({6, 3, 3, 2}, 0.03f), random_tensor({6}, 0.1f),
         two_sided({3, 4, 3, 6}), random_tensor({5, 6}), random_tensor({5})});
}

TEST_CASE("batch norm with batch statistics between convolutions, shortcut around both") {
    const Tensor labels = labels_of({0, 2});
    check_gradients(
        [&](const std::vector<Tensor>& in) {
            const Tensor h = ops::batch_norm(in[0], {.gamma = in[1],
                                                     .beta = in[2],
                                                     .running_mean = Tensor::zeros({4}),
                                                     .running_variance = Tensor::zeros({4}),
                                                     .training = true,
                                                     .relu = true});
            const Tensor y = ops::convolution(h, in[3], {.padding = 1, .residual = in[0]});
            return head(ops::global_average_pool(ops::relu(y)), in[4], in[5], labels);
        },
        {two_sided({2, 5, 6, 4}), two_sided({4}), random_tensor({4}, 0.1f),
         random_tensor({4, 3, 3, 4}, 0.02f), random_tensor({3, 4}), random_tensor({3})});
}

TEST_CASE("pooling, frozen batch norm, concatenation and embedding") {
    const Tensor labels = labels_of({2, 0, 1, 1}), indices = labels_of({1, 0, 1, 2});
    check_gradients(
        [&](const std::vector<Tensor>& in) {
            const Tensor h = ops::batch_norm(in[0], {.gamma = in[1],
                                                     .beta = in[2],
                                                     .running_mean = Tensor::full({3}, 0.2f),
                                                     .running_variance = Tensor::full({3}, 1.7f)});
            const Tensor a = ops::max_pool(h, {.window = 3, .stride = 2, .padding = 1});
            const Tensor b = ops::average_pool(h, {.window = 2, .stride = 2});
            const Tensor both = ops::concatenate(a, b);
            const Tensor rows =
                ops::concatenate(ops::global_average_pool(both), ops::embedding(in[3], indices));
            return head(rows, in[4], in[5], labels);
        },
        {distinct({4, 6, 4, 3}), two_sided({3}), random_tensor({3}), random_tensor({3, 2}),
         random_tensor({5, 8}), random_tensor({5})});
}

TEST_CASE("a linear layer of adaptively pooled images, followed by dropout") {
    const Tensor labels = labels_of({2, 0});
    check_gradients(
        [&](const std::vector<Tensor>& in) {
            const Tensor x = ops::adaptive_average_pool(in[0], 3, 2);
            const Tensor h =
                ops::linear(ops::reshape(x, {2, 12}), ops::reshape(in[1], {9, 12}), in[2]);
            Tensor draw = Tensor::from(std::vector<std::int64_t>{3, 0}, {2});
            const Tensor once = ops::dropout(h, 0.4f, draw);
            return head(ops::dropout(once, 0.2f, draw), in[3], in[4], labels);
        },
        {random_tensor({2, 4, 5, 2}), random_tensor({9, 3, 2, 2}, 0.3f), random_tensor({9}),
         random_tensor({3, 9}, 0.3f), random_tensor({3})});
}

TEST_CASE("the mean of a convolution, down to images of one pixel") {
    const Tensor labels = labels_of({1, 3});
    for (const Shape& image : {Shape{2, 4, 3, 2}, Shape{2, 1, 2, 2}})
        check_gradients(
            [&](const std::vector<Tensor>& in) {
                return head(ops::convolution_mean(in[0], in[1], 1, in[2]), in[3], in[4], labels);
            },
            {random_tensor(image), random_tensor({6, 3, 3, 2}), random_tensor({6}),
             random_tensor({5, 6}), random_tensor({5})});
}

TEST_CASE("one parameter used twice") {
    check_gradients(
        [](const std::vector<Tensor>& in) {
            const Tensor once = ops::convolution(in[0], in[1], {.padding = 1});
            const Tensor twice = ops::convolution(once, in[1], {.padding = 1});
            return ops::scale(sum(ops::add(twice, ops::scale(once, 0.5f))), 0.1f);
        },
        {random_tensor({1, 4, 3, 2}, 0.5f), random_tensor({2, 3, 3, 2}, 0.3f)});
}

TEST_CASE("channel_affine with and without ReLU, shortcut included") {
    for (const bool relu : {false, true}) {
        const Tensor scale = two_sided({3}), shift = random_tensor({3}, 0.1f);
        check_gradients(
            [&](const std::vector<Tensor>& in) {
                const Tensor y = ops::channel_affine(in[0], scale, shift, relu);
                return ops::scale(sum(ops::add(ops::relu(y), in[0])), 0.1f);
            },
            {two_sided({2, 3, 2, 3})});
    }
}

// Backward functions write over gradients that nothing else refers to.
TEST_CASE("a backward pass does not overwrite gradients that the caller or another input holds") {
    const auto leaf = [](const Shape& shape) {
        Tensor x = two_sided(shape);
        x.set_requires_grad();
        return x;
    };
    const Shape shape{2, 4, 4, 3};
    const Tensor scale = Tensor::full({3}, 2), shift = Tensor::full({3}, 0);
    const std::vector<float> given = random_values(shape.elements());
    const Tensor gradient = Tensor::from(given, shape);
    {
        const Tensor x = leaf(shape);
        const Tensor y = ops::channel_affine(x, scale, shift, true);
        const auto dx = gradients(std::span(&y, 1), std::span(&gradient, 1), std::span(&x, 1));
        CHECK(gradient.to_host<float>() == given);
        CHECK(dx[0].to_host<float>() != given);
    }
    // The residual's gradient is that of the output, whose ReLU is passed on the way to the filter.
    const Tensor filter = Tensor::from(random_values(3 * 3 * 3 * 3), {3, 3, 3, 3});
    const Tensor x = leaf(shape), residual = leaf(shape);
    const Tensor sum = ops::convolution(
        ops::channel_affine(x, scale, shift, true), filter,
        {.padding = 1, .residual = ops::channel_affine(residual, scale, shift, true)});
    const Tensor inputs[] = {x, residual};
    const auto both = gradients(std::span(&sum, 1), std::span(&gradient, 1), inputs);
    CHECK(gradient.to_host<float>() == given);
    const std::vector<float> values = residual.to_host<float>(),
                             of_residual = both[1].to_host<float>();
    for (std::size_t i = 0; i < given.size(); ++i)
        CHECK(of_residual[i] == (values[i] > 0 ? 2 * given[i] : 0));
}
