#include "engine/autograd.h"

#include <thread>

#include <doctest/doctest.h>

#include "kernels/common/error.h"
#include "tests/support/tape.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

// A test operation, y = x + w, which records the gradients that its backward pass is asked for.
struct Spy {
    int calls = 0;
    bool wanted[2] = {false, false};
    bool recording = true;

    Tensor operator()(const Tensor& x, const Tensor& w) {
        Tensor y = ops::add(x.detach(), w.detach());
        if (!should_record({&x, &w})) return y;
        record("spy", {&x, &w}, y, [this](const Tensor& dy, GradientSink& sink) {
            ++calls;
            recording = gradients_enabled();
            for (std::size_t i = 0; i < 2; ++i) {
                wanted[i] = sink.wants(i);
                sink.give(i, dy);
            }
        });
        return y;
    }
};

const Node* producer(const Tensor& tensor) {
    return tensor.autograd_state() ? tensor.autograd_state()->producer.get() : nullptr;
}

std::vector<float> times(float factor, std::vector<float> values) {
    for (float& value : values) value *= factor;
    return values;
}

}  // namespace

TEST_CASE("an operation is recorded only when an input requires a gradient") {
    const Tensor constant = random_tensor({5}), leaf = random_leaf({5});
    CHECK(!ops::relu(constant).requires_grad());
    CHECK(producer(ops::relu(constant)) == nullptr);

    const Tensor y = ops::add(constant, leaf);
    CHECK(y.requires_grad());
    REQUIRE(producer(y) != nullptr);
    CHECK(std::string(producer(y)->name) == "add");
    CHECK(producer(y)->inputs[0] == nullptr);
    CHECK(producer(y)->inputs[1] == leaf.autograd_state());

    Tensor frozen = random_leaf({5});
    frozen.set_requires_grad(false);
    CHECK(producer(ops::relu(frozen)) == nullptr);
    CHECK(producer(ops::relu(leaf.detach())) == nullptr);
    CHECK(producer(ops::relu(leaf.clone())) == nullptr);
}

TEST_CASE("a frozen filter costs no weight gradient and the tape does not hold x") {
    Tensor x = random_leaf({2, 5, 5, 3}), filter = random_tensor({4, 3, 3, 3});
    const Tensor y = ops::convolution(x, filter, {.padding = 1});
    REQUIRE(producer(y) != nullptr);
    CHECK(producer(y)->inputs[1] == nullptr);
    // A weight gradient could not be computed: it would need x, which has no other owner.
    CHECK(x.unique());
    CHECK(!filter.unique());
    backward(sum(y));
    CHECK(x.grad().defined());
    CHECK(!filter.grad().defined());
    CHECK(filter.unique());  // freed by the backward pass, although y is still on the tape
}

TEST_CASE("a constant x does not keep the filter, and a trainable filter keeps x") {
    const Tensor x = random_tensor({2, 5, 5, 3});
    Tensor filter = random_leaf({4, 3, 3, 3});
    const Tensor y = ops::convolution(x, filter, {.padding = 1});
    CHECK(filter.unique());
    CHECK(!x.unique());
    backward(sum(y));
    CHECK(filter.grad().defined());
    CHECK(!x.grad().defined());
    CHECK(x.unique());

    const Tensor rows = random_tensor({3, 4}), weight = random_leaf({2, 4}),
                 bias = random_leaf({2});
    const Tensor logits = ops::linear(rows, weight, bias);
    CHECK(weight.unique());
    CHECK(!rows.unique());
}

TEST_CASE("gradients() visits only nodes on a path to the wanted leaf") {
    const Tensor x = random_leaf({4}), w = random_leaf({4}), unrelated = random_leaf({4});
    Spy both, other;
    const Tensor a = both(x, w);
    const Tensor b = other(w, w);
    const Tensor loss = sum(ops::add(a, b));
    const Tensor wanted[] = {x, unrelated};
    const std::vector<Tensor> found = gradients(loss, wanted);
    REQUIRE(found.size() == 2);
    CHECK(host(found[0]) == std::vector<float>(4, 1));
    CHECK(!found[1].defined());
    CHECK(both.calls == 1);
    CHECK(both.wanted[0]);
    CHECK(!both.wanted[1]);
    CHECK(other.calls == 0);
    // Only backward() sets the gradients of leaves.
    for (const Tensor& leaf : {x, w, unrelated}) CHECK(!leaf.grad().defined());
}

TEST_CASE("gradients() of a tensor in the middle of the tape") {
    const Tensor x = random_leaf({4});
    const Tensor middle = ops::scale(x, 3);
    const Tensor loss = sum(ops::add(ops::scale(middle, 2), middle));
    const Tensor wanted[] = {middle, x};
    const std::vector<Tensor> found = gradients(loss, wanted);
    REQUIRE(found[0].defined());
    CHECK(host(found[0]) == std::vector<float>(4, 3));
    REQUIRE(found[1].defined());
    CHECK(host(found[1]) == std::vector<float>(4, 9));
}

TEST_CASE("gradients() of an unrelated tensor does not change other leaves") {
    const Tensor x = random_leaf({4}), constant = random_tensor({4});
    const Tensor wanted[] = {constant};
    CHECK(!gradients(sum(x), wanted)[0].defined());
    CHECK(!x.grad().defined());
}

TEST_CASE("gradients() of several outputs weights them by the given gradients") {
    Tensor x = random_leaf({4}), w = random_leaf({4});
    const auto outputs = [&] { return std::vector{ops::relu(ops::add(x, w)), ops::scale(x, 3)}; };
    const std::vector<Tensor> weights{random_tensor({4}), random_tensor({4})};
    const std::vector<Tensor> before = {weights[0].clone(), weights[1].clone()};
    const Tensor found = gradients(outputs(), weights, std::span(&x, 1)).front();
    const auto y = outputs();
    const auto open = host(y[0]), first = host(weights[0]), second = host(weights[1]);
    for (std::size_t i = 0; i < 4; ++i)
        CHECK(host(found)[i] ==
              doctest::Approx((open[i] > 0 ? first[i] : 0) + 3 * second[i]).epsilon(1e-6));
    CHECK(!w.grad().defined());
    for (int i = 0; i < 2; ++i) CHECK(host(weights[i]) == host(before[i]));

    // An output that another output depends on gets a gradient along both paths.
    const Tensor inner = ops::scale(x, 2), outer = ops::scale(inner, 5);
    const Tensor both[] = {inner, outer};
    const auto sum_of_ways = host(gradients(both, weights, std::span(&x, 1)).front());
    for (std::size_t i = 0; i < 4; ++i)
        CHECK(sum_of_ways[i] == doctest::Approx(2 * first[i] + 10 * second[i]).epsilon(1e-6));

    CHECK_THROWS_AS(gradients(both, std::span(weights).first(1), std::span(&x, 1)), Error);
    const Tensor of_another_shape[] = {weights[0], random_tensor({5})};
    CHECK_THROWS_AS(gradients(both, of_another_shape, std::span(&x, 1)), ShapeError);
    const Tensor twice[] = {outer, outer};
    CHECK_THROWS_AS(gradients(twice, weights, std::span(&x, 1)), Error);
}

TEST_CASE("NoGrad stops recording on its thread for its lifetime") {
    const Tensor x = random_leaf({3});
    {
        const NoGrad outer;
        {
            const NoGrad inner;
            CHECK(!gradients_enabled());
        }
        CHECK(!gradients_enabled());
        CHECK(producer(ops::relu(x)) == nullptr);
        CHECK(!should_record({&x}));
        bool elsewhere = false;
        std::thread([&] { elsewhere = gradients_enabled(); }).join();
        CHECK(elsewhere);
    }
    CHECK(gradients_enabled());
    try {
        const NoGrad no_grad;
        throw Error("an exception that leaves the scope");
    } catch (const Error&) {
    }
    CHECK(producer(ops::relu(x)) != nullptr);
}

TEST_CASE("backward functions run without recording") {
    const Tensor x = random_leaf({3});
    Spy spy;
    backward(sum(spy(x, x)));
    CHECK(spy.calls == 1);
    CHECK(!spy.recording);
    CHECK(gradients_enabled());
    CHECK(!x.grad().requires_grad());
}

TEST_CASE("gradients along the paths of a diamond add up") {
    const Tensor x = random_leaf({7});
    const Tensor middle = ops::scale(x, 2);
    backward(sum(ops::add(ops::add(ops::scale(middle, 3), ops::scale(middle, 5)), middle)));
    CHECK(host(x.grad()) == std::vector<float>(7, 18));

    const Tensor twice = random_leaf({7});
    backward(sum(ops::add(twice, twice)));
    CHECK(host(twice.grad()) == std::vector<float>(7, 2));
}

TEST_CASE("a gradient that two tensors share is never changed in place") {
    // add() passes the same tensor to both inputs; a gets more along a second path, before and
    // after.
    for (const bool first : {false, true}) {
        const Tensor a = random_leaf({5}), b = random_leaf({5});
        const Tensor early = ops::scale(a, 10), both = ops::add(a, b), late = ops::scale(a, 10);
        backward(sum(ops::add(both, first ? early : late)));
        CHECK(host(a.grad()) == std::vector<float>(5, 11));
        CHECK(host(b.grad()) == std::vector<float>(5, 1));

        const Tensor held = a.grad();
        backward(sum(a));
        CHECK(host(a.grad()) == std::vector<float>(5, 12));
        CHECK(host(held) == std::vector<float>(5, 11));
        CHECK(host(b.grad()) == std::vector<float>(5, 1));
    }
}

TEST_CASE("accumulating into one input's gradient does not change the sum's gradient") {
    // y = relu(x) + x: the node of add gives one tensor to both inputs, and x's gradient is then
    // added to.
    const Tensor x = Tensor::from(std::vector<float>{-1, 2, 3}, {3}).set_requires_grad();
    const Tensor dy = Tensor::from(std::vector<float>{1, 10, 100}, {3});
    const Tensor y = ops::add(x, ops::relu(x));
    backward(weighted_sum(y, dy));
    CHECK(host(x.grad()) == std::vector<float>{1, 20, 200});
    CHECK(host(dy) == std::vector<float>{1, 10, 100});
}

TEST_CASE("two backward passes accumulate") {
    const Tensor x = random_leaf({6});
    const Tensor dy = random_tensor({6});
    backward(weighted_sum(x, dy));
    CHECK(host(x.grad()) == host(dy));
    backward(weighted_sum(ops::scale(x, 3), dy));
    CHECK(host(x.grad()) == times(4, host(dy)));
    Tensor handle = x;
    handle.zero_grad();
    CHECK(!x.grad().defined());
}

TEST_CASE("a tape can be used once") {
    const Tensor x = random_leaf({3});
    const Tensor middle = ops::scale(x, 2);
    const Tensor loss = sum(middle), other = sum(ops::relu(middle));
    backward(loss);
    const std::vector<float> before = host(x.grad());
    CHECK_THROWS_AS(backward(loss), Error);
    CHECK_THROWS_AS(backward(other), Error);  // its tape contains the used one
    CHECK(host(x.grad()) == before);
    const Tensor wanted[] = {x};
    CHECK_THROWS_AS(gradients(loss, wanted), Error);
    CHECK(gradients_enabled());
}

TEST_CASE("backward() refuses tensors that it cannot start from") {
    CHECK_THROWS_AS(backward(random_tensor({1})), Error);
    CHECK_THROWS_AS(backward(random_leaf({1})), Error);
    CHECK_THROWS_AS(backward(ops::relu(random_leaf({2}))), ShapeError);
    CHECK_THROWS_AS(backward(Tensor()), Error);
}

TEST_CASE("a gradient of another shape is refused") {
    const Tensor x = random_leaf({3});
    Tensor y = x.clone();
    record("wrong", {&x, &x}, y, [](const Tensor& dy, GradientSink& sink) {
        sink.give(0, dy);
        sink.give(1, dy.view({3, 1}));
    });
    CHECK_THROWS_AS(backward(sum(y)), ShapeError);
}

TEST_CASE("long chains are processed and freed without recursion") {
    constexpr int kLength = 200'000;
    const auto chain = [](const Tensor& x, bool doubled) {
        Tensor y = x;
        for (int i = 0; i < kLength; ++i) {
            y = ops::scale(y, 1);
            if (doubled && i % 1000 == 0) y = ops::scale(ops::add(y, y), 0.5f);
        }
        return y;
    };
    const Tensor x = random_leaf({1});
    for (const bool doubled : {false, true}) chain(x, doubled);  // freed without a backward pass
    backward(chain(x, true));
    CHECK(host(x.grad()) == std::vector<float>{1});
    const Tensor wanted[] = {x};
    CHECK(host(gradients(chain(x, false), wanted)[0]) == std::vector<float>{1});
}

TEST_CASE("a node may take the shortcut's gradient and add to it itself") {
    const Tensor x = random_leaf({3}), unwanted = random_tensor({3});
    std::vector<bool> found;
    const auto taking = [&](const Tensor& input) {
        Tensor y = input.clone();
        record("taking", {&input, &unwanted}, y, [&found](const Tensor& dy, GradientSink& sink) {
            const Tensor along_shortcut = sink.take(0);
            found.push_back(along_shortcut.defined());
            CHECK(!sink.take(1).defined());
            sink.give(0, along_shortcut.defined() ? ops::add(dy, along_shortcut) : dy);
        });
        return y;
    };
    backward(sum(taking(x)));
    CHECK(host(x.grad()) == std::vector<float>(3, 1));
    Tensor handle = x;
    handle.zero_grad();
    // The shortcut is recorded after the node and therefore processed before it.
    const Tensor y = taking(x);
    backward(sum(ops::add(y, ops::scale(x, 4))));
    CHECK(host(x.grad()) == std::vector<float>(3, 5));
    CHECK(found == std::vector<bool>{false, true});
}

TEST_CASE("batch norm adds the shortcut's gradient in its own pass") {
    for (const bool training : {false, true})
        for (const bool relu : {false, true}) {
            const auto norm = [&](const Tensor& x) {
                return ops::batch_norm(x, {.gamma = Tensor::full({5}, 1.5f),
                                           .beta = Tensor::full({5}, 0.25f),
                                           .running_mean = Tensor::full({5}, 0.1f),
                                           .running_variance = Tensor::full({5}, 2),
                                           .training = training,
                                           .relu = relu});
            };
            const Tensor x = random_leaf({3, 2, 2, 5}), alone = x.clone().set_requires_grad();
            const Tensor dy = random_tensor(x.shape());
            const Tensor y = norm(x);
            backward(weighted_sum(ops::add(y, ops::scale(x, 2)), dy));
            backward(weighted_sum(norm(alone), dy));
            const Tensor expected = ops::add(alone.grad(), ops::scale(dy, 2));
            // The kernel may round once; two passes round twice.
            check_close(host(x.grad()), host(expected), 1e-6, 1e-6, "with the shortcut");
        }
}
