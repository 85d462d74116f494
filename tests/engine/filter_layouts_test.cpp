// What convolutions keep of a constant filter is discarded when the filter is written.
#include <doctest/doctest.h>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/optimizer.h"
#include "engine/random.h"

using namespace cnpd::engine;

namespace {

const Shape kFilter{16, 3, 3, 16};

Tensor random(const Shape& shape, std::uint64_t seed) {
    Generator generator(seed);
    return normal_tensor(generator, shape, 1, {});
}

std::vector<float> convolved(const Tensor& x, const Tensor& filter) {
    return ops::convolution(x, filter, {.padding = 1}).to_host<float>();
}

}  // namespace

TEST_CASE("a convolution sees every change of its filter") {
    const Tensor x = random({2, 8, 8, 16}, 1);
    Tensor filter = random(kFilter, 2), same = filter;  // a handle of the same data
    const Tensor other = random(kFilter, 3);
    const auto first = convolved(x, filter);
    for (int call = 0; call < 3; ++call) CHECK(convolved(x, filter) == first);
    CHECK(filter.filter_layouts() != nullptr);

    same.copy_from(other);
    for (int call = 0; call < 3; ++call) CHECK(convolved(x, filter) == convolved(x, other));
    same.data<float>()[0] += 1;
    const auto changed = convolved(x, filter.clone());
    CHECK(changed != convolved(x, other));
    for (int call = 0; call < 3; ++call) CHECK(convolved(x, filter) == changed);
    same.set_zero();
    for (int call = 0; call < 3; ++call)
        for (const float y : convolved(x, filter)) REQUIRE(y == 0);
}

TEST_CASE("a convolution sees an optimizer's step after the filter was frozen") {
    const Tensor x = random({1, 8, 8, 16}, 4);
    Tensor filter = random(kFilter, 5);
    Sgd optimizer({{.parameters = {filter}}}, {});
    optimizer.set_learning_rate(0.1);
    for (int call = 0; call < 3; ++call) convolved(x, filter);
    filter.set_grad(random(kFilter, 6));
    optimizer.step();
    const auto expected = convolved(x, filter.clone());
    for (int call = 0; call < 3; ++call) CHECK(convolved(x, filter) == expected);
}

TEST_CASE("the gradient of the input sees every change of the filter, too") {
    Tensor x = random({1, 8, 8, 16}, 7);
    x.set_requires_grad();
    Tensor filter = random(kFilter, 8);
    const Tensor dy = random({1, 8, 8, 16}, 9);
    const auto dx = [&](const Tensor& with) {
        const Tensor y[] = {ops::convolution(x, with, {.padding = 1})};
        const Tensor dys[] = {dy}, inputs[] = {x};
        return gradients(y, dys, inputs).front().to_host<float>();
    };
    for (int call = 0; call < 3; ++call) dx(filter);
    filter.copy_from(random(kFilter, 10));
    const auto expected = dx(filter.clone());
    for (int call = 0; call < 3; ++call) CHECK(dx(filter) == expected);
}

TEST_CASE(
    "nothing is kept of parts of a tensor, and other shapes of the same data are told apart") {
    const Tensor both = random({32, 3, 3, 16}, 11);
    const Tensor part = both.rows(16, 16);
    for (int call = 0; call < 2; ++call) CHECK(part.filter_layouts() == nullptr);
    const Tensor wide = both.view({16, 3, 3, 32});
    CHECK(both.filter_layouts() == nullptr);
    const auto of_both = both.filter_layouts();
    CHECK(of_both != nullptr);
    CHECK(wide.filter_layouts() == nullptr);
    CHECK(wide.filter_layouts() != of_both);
}
